/** The section of one patch: where it is, how it looks, and what is near it across the archive. */

import { address, getJson } from '../api.js';
import { fill, h, say } from '../dom.js';
import { count, percent } from '../format.js';
import { route } from '../routes.js';
import { empty, fillLater } from '../states.js';

const NEAREST = 12;
const STATUS = ['ok', 'ok, at the second try', 'unreadable: its pixels are white'];

/**
 * Show a patch.
 * @param {import('./context.js').SlideContext} context
 * @param {HTMLElement} place
 * @param {number} index
 * @param {import('./patches.js').Patches} patches
 * @param {string[]} encoders that have embeddings of it
 */
export function showPatch(context, place, index, patches, encoders) {
  const { grid, archive } = patches;
  const near = h('div', {});
  const heading = h('h3', { tabindex: -1 }, `Patch ${count(index)}`);
  fill(place,
    h('div', { class: 'patch-top' }, patchPicture(context.id, index, archive, 'The patch'), h('div', { class: 'stack' }, heading, facts(index, patches))),
    encoders.length > 0 && neighbours(context, near, { archive, index }, encoders),
    near);
  say(`Patch ${index} is selected.`);
  if (!encoders.length) fill(near, h('p', { class: 'soft small' }, 'Like patches can be found once an encoder has embedded this slide.'));
  grid.selected = index;
  context.screen.overlay.draw();
}

/**
 * @param {number} index
 * @param {import('./patches.js').Patches} patches
 * @returns {HTMLElement}
 */
function facts(index, patches) {
  const { grid, tissue, status, labels } = patches;
  const side = grid.width === grid.height ? count(grid.width) : `${count(grid.width)} × ${count(grid.height)}`;
  const entry = (/** @type {string} */ name, /** @type {any} */ value) => (value === undefined || value === null || value === '' ? [] : [h('dt', {}, name), h('dd', {}, value)]);
  const um = patches.um ? `, ${count(patches.um)} µm` : '';
  return h('dl', { class: 'facts' },
    entry('Place', `${count(grid.x[index])}, ${count(grid.y[index])}`),
    entry('Side', `${side} px of level 0${um}`),
    entry('Tissue', tissue && percent(tissue[index])),
    entry('Status', status && (STATUS[status[index]] ?? `status ${status[index]}`)),
    entry('Label', labels?.(index)));
}

/**
 * @param {string} slide
 * @param {number} index
 * @param {string} archive
 * @param {string} alt
 * @returns {HTMLElement}
 */
function patchPicture(slide, index, archive, alt) {
  return h('img', { class: 'patch-picture', src: address(['slides', slide, 'patches', `${index}.jpeg`], { archive }), alt, loading: 'lazy', decoding: 'async' });
}

/**
 * @param {import('./context.js').SlideContext} context
 * @param {HTMLElement} place of the result
 * @param {{archive: string, index: number}} patch
 * @param {string[]} encoders
 * @returns {HTMLElement}
 */
function neighbours(context, place, patch, encoders) {
  const search = () => {
    context.encoder = select.value;
    const query = { encoder: select.value, patch: patch.index, archive: patch.archive, limit: NEAREST };
    fillLater(place, async () => {
      const found = await getJson(address(['slides', context.id, 'similar'], query), context.signal);
      return nearest(context, patch.archive, found.items);
    }, 'Looking for like patches');
  };
  const select = h('select', { id: 'encoder', on: { change: search } },
    encoders.map((name) => h('option', { value: name, selected: name === context.encoder }, name)));
  search();
  return h('div', { class: 'field' }, h('label', { for: 'encoder' }, 'Nearest patches across the archive, by'), select);
}

/**
 * @param {import('./context.js').SlideContext} context
 * @param {string} archive
 * @param {any[]} found
 * @returns {HTMLElement}
 */
function nearest(context, archive, found) {
  if (!found.length) return empty('No other patch.');
  const card = (/** @type {any} */ one) => {
    const [width, height] = one.size_level0;
    const query = { archive, patch: one.patch, x: one.x + width / 2, y: one.y + height / 2, zoom: context.screen.scale.toPrecision(4) };
    const label = `Slide ${one.slide}, patch ${one.patch}, similarity ${one.similarity.toFixed(3)}`;
    const go = (/** @type {Event} */ event) => {
      if (one.slide !== context.id) return;
      event.preventDefault();
      context.selectPatch(one.patch, true);
    };
    return h('li', {}, h('a', { href: route(['slides', one.slide], query), title: label, 'aria-label': label, on: { click: go } },
      patchPicture(one.slide, one.patch, archive, ''),
      h('span', { class: 'number' }, one.similarity.toFixed(3)),
      one.slide !== context.id && h('span', { class: 'soft near-slide' }, one.slide)));
  };
  return h('ul', { class: 'nearest', 'aria-label': 'Nearest patches' }, found.map(card));
}
