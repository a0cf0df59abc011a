/** Words about jobs that more than one page says. */

import { h } from '../dom.js';
import { count, duration } from '../format.js';

export const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];
const ENDED = new Set(['succeeded', 'failed', 'cancelled']);
/** @type {Record<string, string>} */
const LOOK = { running: 'busy', succeeded: 'good', failed: 'bad', cancelled: 'off' };

/**
 * @param {any} job
 * @returns {boolean}
 */
export function hasEnded(job) {
  return ENDED.has(job.state);
}

/**
 * @param {string} state
 * @returns {HTMLElement}
 */
export function stateBadge(state) {
  return h('span', { class: `badge ${LOOK[state] ?? ''}`, data: { state } }, state);
}

/**
 * @param {any} job
 * @returns {string} how long it ran, or has been running
 */
export function lasted(job) {
  if (!job.started) return '–';
  const end = job.finished ? new Date(job.finished) : new Date();
  return duration(Math.max(0, (end.getTime() - new Date(job.started).getTime()) / 1000));
}

/**
 * @param {any} progress as a job has it; null before it says anything
 * @returns {{share: number | null, text: string}} share from 0 to 1
 */
export function progressOf(progress) {
  if (!progress) return { share: null, text: '' };
  const { share, noun, done, total, failed, patches_done: patches, patches_total: most, left_s: left } = progress;
  const of = (/** @type {number} */ now, /** @type {number} */ all, /** @type {string} */ what) => all > 0 && `${count(now)} of ${count(all)} ${what}`;
  const parts = [of(done, total, noun), of(patches, most, 'patches'), failed > 0 && `${count(failed)} failed`, left !== null && left !== undefined && `${duration(left)} left`];
  return { share, text: parts.filter(Boolean).join(' · ') };
}
