/** The viewer: the bar, and one page at a time as the address says. */

import { byId, fill, h } from './dom.js';
import { icon } from './icons.js';
import { addShortcuts, showHelp, watchKeyboard } from './keyboard.js';
import { openJobs } from './jobs/page.js';
import { readRoute, route } from './routes.js';
import { beginSession, showCaller } from './session.js';
import { openSlide } from './slide/page.js';
import { openSlides } from './slides/page.js';
import { empty, loading, trouble } from './states.js';
import { toggleTheme } from './theme.js';

/**
 * @typedef {object} Visit what a page is opened with
 * @property {string[]} parts of the address after the page's name
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal ends when the page is left
 */

/** @type {Record<string, (place: HTMLElement, visit: Visit) => void | Promise<void>>} */
const PAGES = { slides: (place, visit) => (visit.parts.length ? openSlide : openSlides)(place, visit), jobs: openJobs };

const main = byId('main');
let leaving = new AbortController();

function drawBar() {
  const link = (/** @type {string} */ page, /** @type {string} */ name) =>
    h('a', { href: route([page]), data: { page } }, name);
  const button = (/** @type {import('./icons.js').IconName} */ drawing, /** @type {string} */ label, /** @type {() => void} */ act) =>
    h('button', { class: 'button bare', type: 'button', title: label, 'aria-label': label, on: { click: act } }, icon(drawing));
  const account = h('div', { id: 'account' });
  const mark = h('img', { src: new URL('../icon.svg', import.meta.url).href, alt: '' });
  fill(
    byId('bar'),
    h('a', { class: 'brand', href: route(['slides']), 'aria-label': 'microtome, all slides' }, mark, h('span', {}, 'microtome')),
    h('nav', { 'aria-label': 'Pages' }, link('slides', 'Slides'), link('jobs', 'Jobs'), h('a', { href: 'docs' }, 'API')),
    account,
    button('theme', 'Light or dark', toggleTheme),
    button('help', 'Keys', showHelp),
  );
  showCaller(account);
}

/** Open the page that the address names. */
async function openPage() {
  leaving.abort();
  leaving = new AbortController();
  const { parts, query } = readRoute(location.hash);
  const signal = leaving.signal;
  document.querySelectorAll('#bar nav a').forEach((link) => {
    const here = link instanceof HTMLElement && link.dataset.page === parts[0];
    link.toggleAttribute('aria-current', here);
    if (here) link.setAttribute('aria-current', 'page');
  });
  const place = h('div', { class: 'fresh' });
  fill(main, place);
  window.scrollTo(0, 0);
  const open = PAGES[parts[0]];
  document.title = 'microtome';
  if (!open) {
    fill(place, empty('There is no such page.', h('a', { href: route(['slides']) }, 'All slides')));
    return;
  }
  try {
    await open(place, { parts: parts.slice(1), query, signal });
  } catch (error) {
    if (!signal.aborted) fill(place, h('div', { class: 'page' }, trouble(error, openPage)));
  }
}

async function start() {
  drawBar();
  watchKeyboard();
  addShortcuts([
    { key: '?', does: 'Show the keys', act: showHelp },
    { key: 't', does: 'Light or dark', act: toggleTheme },
    { key: 's', does: 'All slides', act: () => { location.hash = route(['slides']); } },
    { key: 'j', does: 'All jobs', act: () => { location.hash = route(['jobs']); } },
  ]);
  byId('skip').addEventListener('click', (event) => {
    event.preventDefault(); // the part after # is the viewer's own
    main.focus();
  });
  fill(main, h('div', { class: 'page' }, loading('Asking the service')));
  try {
    await beginSession();
  } catch (error) {
    fill(main, h('div', { class: 'page' }, trouble(error, () => location.reload())));
    return;
  }
  window.addEventListener('hashchange', openPage);
  await openPage();
}

start();
