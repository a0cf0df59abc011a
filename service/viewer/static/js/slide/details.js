/** The section that says what the slide is, and its associated images for those who may see them. */

import { address, getJson } from '../api.js';
import { h } from '../dom.js';
import { count, length, moment, resolution, short } from '../format.js';

/**
 * @param {any} slide as the API describes it
 * @returns {HTMLElement}
 */
export function details(slide) {
  const entry = (/** @type {string} */ name, /** @type {any} */ value) => (value === null || value === undefined || value === '' ? [] : [h('dt', {}, name), h('dd', {}, value)]);
  const size = slide.size_px && `${count(slide.size_px[0])} × ${count(slide.size_px[1])} px`;
  const place = slide.size_px && slide.mpp && ` (${length(slide.size_px[0] * slide.mpp)} × ${length(slide.size_px[1] * slide.mpp)})`;
  return h('dl', { class: 'facts' },
    entry('Patient', slide.patient),
    entry('Site', slide.site),
    entry('Size', size && [size, place]),
    entry('Resolution', slide.mpp && resolution(slide.mpp)),
    entry('Known from', slide.resolution?.origin),
    entry('Objective', slide.objective && `${slide.objective}×`),
    entry('Scanner', slide.vendor),
    entry('Levels', slide.levels.map(levelWords).join(', ')),
    entry('Tiles of the file', tileWords(slide.levels[0])),
    entry('Archives', slide.archives.map((/** @type {any} */ one) => one.name).join(', ')),
    entry('Registered', slide.registered && moment(slide.registered)));
}

/**
 * @param {any} level
 * @returns {string}
 */
function levelWords(level) {
  return `1:${short(level.downsample)}`;
}

/**
 * @param {any} level
 * @returns {string}
 */
function tileWords(level) {
  return level?.tile_px ? `${level.tile_px.join(' × ')} px, ${level.codec}` : '';
}

/**
 * Pictures of the label and of the whole glass; asking for them is written down by the service.
 * @param {import('./context.js').SlideContext} context
 * @returns {Promise<HTMLElement>}
 */
export async function associated(context) {
  const found = await getJson(address(['slides', context.id, 'associated']), context.signal);
  const { names } = found;
  if (!names.length) return h('p', { class: 'soft small' }, 'The file of this slide holds no other images.');
  return h('div', { class: 'stack' }, names.map((/** @type {string} */ name) => h('figure', {},
    h('img', { src: address(['slides', context.id, 'associated', name]), alt: `Image ${name} of the slide`, loading: 'lazy' }),
    h('figcaption', { class: 'soft small' }, name))));
}
