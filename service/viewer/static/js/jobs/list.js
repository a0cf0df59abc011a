/** The list of jobs: the newest first, by state, refreshed while some are under way. */

import { address, getJson } from '../api.js';
import { fill, h, say } from '../dom.js';
import { moment, percent, plural } from '../format.js';
import { icon } from '../icons.js';
import { addShortcuts } from '../keyboard.js';
import { replaceRoute, route } from '../routes.js';
import { may } from '../session.js';
import { empty, loading, trouble } from '../states.js';
import { STATES, hasEnded, lasted, progressOf, stateBadge } from './words.js';

const PAGE = 50;
const REFRESH_MS = 2500;

/**
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 */
export async function openList(place, visit) {
  document.title = 'Jobs – microtome';
  const wanted = { state: visit.query.get('state') ?? '' };
  const body = h('div', {}, loading('Loading jobs'));
  let shown = new AbortController();
  const start = () => {
    shown.abort();
    shown = new AbortController();
    replaceRoute(route(['jobs'], wanted));
    showJobs(body, wanted, AbortSignal.any([shown.signal, visit.signal]));
  };
  const make = route(['jobs', 'new']);
  const select = h('select', { 'aria-label': 'State', on: { change: () => { wanted.state = select.value; start(); } } },
    h('option', { value: '' }, 'All states'), STATES.map((one) => h('option', { value: one, selected: one === wanted.state }, one)));
  const button = may('submit') && h('a', { class: 'button main', href: make }, icon('plus'), 'New job');
  fill(place, h('div', { class: 'page' },
    h('div', { class: 'page-head' }, h('h1', {}, 'Jobs'), h('div', { class: 'archive-choice' }, select), button), body));
  addShortcuts([{ key: 'n', does: 'New job', act: () => { location.hash = make; } }], visit.signal);
  start();
}

/**
 * @param {HTMLElement} place
 * @param {{state: string}} wanted
 * @param {AbortSignal} signal
 */
async function showJobs(place, wanted, signal) {
  /** @type {any[]} */
  let older = [];
  /** @type {string | null | undefined} */
  let next;
  const read = (/** @type {string | null} */ cursor) => getJson(address(['jobs'], { ...wanted, limit: PAGE, cursor }), signal);
  const draw = (/** @type {any[]} */ jobs) => {
    const more = next ? h('button', { class: 'button', type: 'button', on: { click: extend } }, 'Older jobs') : null;
    fill(place, jobs.length ? [table(jobs), more] : nothing(wanted.state));
  };
  /** @type {any[]} */
  let newest = [];
  const extend = async () => {
    const page = await read(/** @type {string} */ (next));
    older = [...older, ...page.items];
    next = page.next_cursor;
    draw([...newest, ...older]);
  };
  const refresh = async () => {
    try {
      const page = await read(null);
      newest = page.items;
      if (!older.length) next = page.next_cursor;
      const known = new Set(newest.map((one) => one.id));
      older = older.filter((one) => !known.has(one.id));
      keepFocus(place, () => draw([...newest, ...older]));
      if (newest.some((job) => !hasEnded(job)) || document.hidden) wait();
    } catch (error) {
      if (!signal.aborted) fill(place, trouble(error, refresh));
    }
  };
  const wait = () => setTimeout(() => !signal.aborted && refresh(), REFRESH_MS);
  await refresh();
  if (!signal.aborted) say(plural(newest.length, 'job'));
}

/**
 * Draw again without taking the focus from a link of the table.
 * @param {HTMLElement} place
 * @param {() => void} draw
 */
function keepFocus(place, draw) {
  const focused = document.activeElement;
  const href = focused instanceof HTMLAnchorElement && place.contains(focused) ? focused.getAttribute('href') : null;
  draw();
  if (href) [...place.querySelectorAll('a')].find((one) => one.getAttribute('href') === href)?.focus();
}

/**
 * @param {string} state
 * @returns {HTMLElement}
 */
function nothing(state) {
  if (state) return empty(`No job is ${state}.`);
  return empty('There are no jobs yet.', may('submit') && h('p', {}, h('a', { href: route(['jobs', 'new']) }, 'Make the first one'), '.'));
}

/**
 * @param {any[]} jobs
 * @returns {HTMLElement}
 */
function table(jobs) {
  const head = ['Job', 'State', 'Progress', 'Submitted', 'By', 'Ran'];
  return h('div', { class: 'scroll sheet-table' }, h('table', { class: 'jobs' },
    h('thead', {}, h('tr', {}, head.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, jobs.map(row))));
}

/**
 * @param {any} job
 * @returns {HTMLElement}
 */
function row(job) {
  const { share } = progressOf(job.progress);
  const progress = job.state === 'running' && share !== null ? h('span', { class: 'row tight' }, h('progress', { max: 1, value: share, 'aria-label': 'Progress' }), percent(share)) : '';
  return h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: route(['jobs', job.id]) }, job.workflow), ' ', h('span', { class: 'soft mono' }, job.id.slice(0, 8))),
    h('td', {}, stateBadge(job.state)),
    h('td', { class: 'number-left' }, progress),
    h('td', { class: 'soft' }, moment(job.created)),
    h('td', { class: 'soft wrap' }, job.submitted_by ?? '–'),
    h('td', { class: 'soft number-left' }, lasted(job)));
}
