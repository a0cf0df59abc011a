/** Known names for the places of a job: slides, archives, encoders and checkpoints. */

import { address, getJson } from '../api.js';
import { h } from '../dom.js';

const MOST = 500;

/** @type {Record<string, string[]>} what may stand in a field of each kind */
const SOURCES = {
  slides: ['slides'],
  archive: ['archives'],
  archives: ['archives'],
  'new-archive': ['archives'],
  'archive-or-slides': ['archives', 'slides'],
  encoder: ['encoders', 'models'],
  weights: ['models'],
  source: ['models'],
  folder: ['models'],
};

/** @typedef {{idOf: (field: string) => string | undefined, element: HTMLElement}} Suggestions */

/**
 * Read what the fields of a workflow may want; what cannot be read is not suggested.
 * @param {any} workflow
 * @param {AbortSignal} signal
 * @returns {Promise<Suggestions>}
 */
export async function suggestions(workflow, signal) {
  /** @type {Record<string, string>} */
  const kinds = {};
  for (const [field, kind] of Object.entries(workflow.places)) {
    if (String(kind) in SOURCES) kinds[field] = String(kind);
  }
  const sources = new Set(Object.values(kinds).flatMap((kind) => SOURCES[kind]));
  const read = await Promise.all([...sources].map(async (source) => [source, await names(source, signal)]));
  const known = Object.fromEntries(read);
  const lists = [...new Set(Object.values(kinds))].map((kind) =>
    h('datalist', { id: `known-${kind}` }, SOURCES[kind].flatMap((source) => known[source]).map((value) => h('option', { value }))));
  return { idOf: (field) => (kinds[field] ? `known-${kinds[field]}` : undefined), element: h('div', { hidden: true }, lists) };
}

/**
 * @param {string} source
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>}
 */
async function names(source, signal) {
  try {
    const told = await getJson(address([source], source === 'slides' ? { limit: MOST } : {}), signal);
    const found = (told.items ?? told).map((/** @type {any} */ one) => one.id ?? one.path ?? one.name);
    return found.filter((/** @type {any} */ one) => typeof one === 'string');
  } catch {
    return [];
  }
}
