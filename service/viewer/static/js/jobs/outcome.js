/** What came of a job: its document as a table, and the files that it left. */

import { address, getJson } from '../api.js';
import { fill, h } from '../dom.js';
import { bytes, count, short } from '../format.js';
import { trouble } from '../states.js';
import { labelOf } from './schema.js';

const DEEPEST = 3;
const LONGEST = 50;
const MOST_COLUMNS = 8;
const MOST_FILES = 200;
const SHOWN = new Set(['text/html', 'application/json', 'image/png', 'image/jpeg', 'image/svg+xml']);
/** Opened in another tab; all else is saved. */

/**
 * @param {HTMLElement} place
 * @param {any} job
 * @param {AbortSignal} signal
 */
export async function outcome(place, job, signal) {
  try {
    const told = job.has_outcome && await getJson(address(['jobs', job.id, 'outcome']), signal);
    const files = await getJson(address(['jobs', job.id, 'files']), signal);
    fill(place,
      told && h('section', { class: 'block' }, h('h2', {}, 'Outcome'), value(told.document, 0)),
      files.length > 0 && h('section', { class: 'block' }, h('h2', {}, 'Files'), fileList(job.id, files)));
  } catch (error) {
    if (!signal.aborted) fill(place, trouble(error, () => outcome(place, job, signal)));
  }
}

/**
 * @param {string} job
 * @param {any[]} files as the API lists them
 * @returns {HTMLElement}
 */
function fileList(job, files) {
  const url = (/** @type {any} */ one) => address(['jobs', job, 'files', ...one.path.split('/')]);
  const entry = (/** @type {any} */ one) => h('li', {}, h('a', { href: url(one), ...(SHOWN.has(one.media_type) ? { target: '_blank', rel: 'noopener' } : { download: '' }) }, one.path), h('span', { class: 'soft' }, ` ${bytes(one.size_bytes)}`));
  const more = files.length > MOST_FILES && h('li', { class: 'soft' }, `and ${count(files.length - MOST_FILES)} more`);
  return h('ul', { class: 'files mono' }, files.slice(0, MOST_FILES).map(entry), more);
}

/**
 * Show any JSON value as text, lists and tables.
 * @param {any} given
 * @param {number} depth
 * @returns {HTMLElement | string}
 */
function value(given, depth) {
  if (given === null || given === undefined || given === '') return '–';
  if (typeof given === 'number') return Number.isInteger(given) ? count(given) : short(given, 4);
  if (typeof given === 'boolean') return given ? 'yes' : 'no';
  if (typeof given !== 'object') return String(given);
  if (depth >= DEEPEST) return h('code', { class: 'wrap' }, JSON.stringify(given));
  if (!Array.isArray(given)) return facts(given, depth);
  if (!given.length) return 'none';
  const rest = given.length > LONGEST && h('p', { class: 'soft small' }, `and ${count(given.length - LONGEST)} more`);
  const first = given.slice(0, LONGEST);
  if (first.every((one) => one === null || typeof one !== 'object')) return h('div', {}, first.map((one) => value(one, depth)).join(', '), rest);
  return h('div', {}, alike(first) ? table(first) : first.map((one) => h('div', { class: 'entry' }, value(one, depth + 1))), rest);
}

/**
 * @param {any[]} rows
 * @returns {boolean} whether they have the same plain entries, few enough for a table
 */
function alike(rows) {
  const names = Object.keys(rows[0]).join();
  return Object.keys(rows[0]).length <= MOST_COLUMNS
    && rows.every((row) => Object.keys(row).join() === names && Object.values(row).every((one) => one === null || typeof one !== 'object'));
}

/**
 * @param {any[]} rows
 * @returns {HTMLElement}
 */
function table(rows) {
  return h('div', { class: 'scroll' }, h('table', {},
    h('thead', {}, h('tr', {}, Object.keys(rows[0]).map((name) => h('th', { scope: 'col' }, labelOf(name))))),
    h('tbody', {}, rows.map((row) => h('tr', {}, Object.values(row).map((one) => h('td', {}, value(one, DEEPEST))))))));
}

/**
 * @param {Record<string, any>} given
 * @param {number} depth
 * @returns {HTMLElement}
 */
function facts(given, depth) {
  return h('dl', { class: 'facts' }, Object.entries(given).map(([name, one]) => [h('dt', {}, labelOf(name)), h('dd', {}, value(one, depth + 1))]).flat());
}
