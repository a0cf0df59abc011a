/** The list of slides: search, thumbnails, one page after the other. */

import { address, getJson } from '../api.js';
import { calm, fill, h, say } from '../dom.js';
import { plural } from '../format.js';
import { icon } from '../icons.js';
import { addShortcuts } from '../keyboard.js';
import { replaceRoute, route } from '../routes.js';
import { empty, loading, trouble } from '../states.js';
import { slideCard } from './card.js';

const PAGE = 48;

/**
 * Show the list.
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 */
export async function openSlides(place, visit) {
  document.title = 'Slides – microtome';
  const wanted = { q: visit.query.get('q') ?? '', archive: visit.query.get('archive') ?? '' };
  const results = h('div', { class: 'results' });
  let search = new AbortController();
  const start = () => {
    search.abort();
    search = new AbortController();
    replaceRoute(route(['slides'], wanted));
    showPages(results, wanted, AbortSignal.any([search.signal, visit.signal]));
  };
  const later = calm(start, 250);
  const box = searchBox(wanted.q, (q) => { wanted.q = q; later(); });
  const archives = h('div', { class: 'archive-choice' });
  fill(place, h('div', { class: 'page' },
    h('div', { class: 'page-head' }, h('h1', {}, 'Slides'), archives, box), results));
  addShortcuts([{ key: '/', does: 'Search slides', act: () => box.querySelector('input')?.focus() }], visit.signal);
  start();
  const known = await getJson(address(['archives']), visit.signal).catch(() => []);
  const names = known.map((/** @type {any} */ one) => one.name);
  if (names.length > 1 || wanted.archive) {
    fill(archives, archiveChoice(names, wanted.archive, (name) => { wanted.archive = name; start(); }));
  }
}

/**
 * @param {string} text
 * @param {(text: string) => void} changed
 * @returns {HTMLElement}
 */
function searchBox(text, changed) {
  const input = h('input', {
    type: 'search', placeholder: 'Search by slide', 'aria-label': 'Search slides', value: text, spellcheck: 'false',
    on: { input: () => changed(input.value.trim()) },
  });
  return h('div', { class: 'search', role: 'search' }, icon('search'), input);
}

/**
 * @param {string[]} names
 * @param {string} chosen
 * @param {(name: string) => void} changed
 * @returns {HTMLElement}
 */
function archiveChoice(names, chosen, changed) {
  const option = (/** @type {string} */ value, /** @type {string} */ text) =>
    h('option', { value, selected: value === chosen }, text);
  const select = h('select', { 'aria-label': 'Archive', on: { change: () => changed(select.value) } },
    option('', 'All archives'), names.map((name) => option(name, name)));
  return select;
}

/**
 * Show the first page, and more as the end of the list comes near.
 * @param {HTMLElement} place
 * @param {{q: string, archive: string}} wanted
 * @param {AbortSignal} signal
 */
function showPages(place, wanted, signal) {
  const cards = h('ul', { class: 'cards', 'aria-label': 'Slides' });
  const end = h('div', { class: 'list-end' });
  /** @param {string | null} cursor */
  const more = async (cursor) => {
    fill(end, loading('Loading slides'));
    try {
      const page = await getJson(address(['slides'], { ...wanted, limit: PAGE, cursor }), signal);
      if (!cursor) fill(place, cards, end);
      cards.append(...page.items.map((/** @type {any} */ one) => h('li', {}, slideCard(one))));
      say(plural(cards.children.length, 'slide'));
      fill(end, endOf(cards, page.next_cursor, wanted.q || wanted.archive, more, signal));
    } catch (error) {
      if (!signal.aborted) fill(end, trouble(error, () => more(cursor)));
    }
  };
  if (!place.firstChild) fill(place, end);
  more(null);
}

/**
 * @param {HTMLElement} cards
 * @param {string | null} cursor of the next page
 * @param {string} filtered
 * @param {(cursor: string) => void} more
 * @param {AbortSignal} signal
 * @returns {HTMLElement | null}
 */
function endOf(cards, cursor, filtered, more, signal) {
  if (cursor) {
    const button = h('button', { class: 'button', type: 'button', on: { click: () => more(cursor) } }, 'More slides');
    const near = new IntersectionObserver((seen) => {
      if (seen.some((one) => one.isIntersecting)) {
        near.disconnect();
        more(cursor);
      }
    }, { rootMargin: '400px' });
    near.observe(button);
    signal.addEventListener('abort', () => near.disconnect());
    return button;
  }
  if (cards.children.length) return h('p', { class: 'soft small' }, plural(cards.children.length, 'slide'));
  if (filtered) return empty('No slide matches.', h('p', {}, 'Try a shorter part of its name.'));
  return empty('There are no slides yet.',
    h('p', {}, 'Register one through the API, or cut some into an archive with a ', h('a', { href: route(['jobs', 'new', 'tile']) }, 'job'), '.'));
}
