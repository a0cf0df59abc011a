/** The pages of jobs: the list, a new one, one job. */

import { openForm } from './form.js';
import { openJob } from './job.js';
import { openList } from './list.js';

/**
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 * @returns {Promise<void>}
 */
export function openJobs(place, visit) {
  const [first, workflow] = visit.parts;
  if (!first) return openList(place, visit);
  return first === 'new' ? openForm(place, visit, workflow ?? '') : openJob(place, visit, first);
}
