/** One slide in the list. */

import { address } from '../api.js';
import { h } from '../dom.js';
import { count, plural, resolution } from '../format.js';
import { icon } from '../icons.js';
import { route } from '../routes.js';

/**
 * Draw the card; its picture loads when it comes near the window.
 * @param {any} slide as the API lists it
 * @returns {HTMLElement}
 */
export function slideCard(slide) {
  const size = slide.size_px ? `${count(slide.size_px[0])} × ${count(slide.size_px[1])} px` : 'Size unknown';
  const person = [slide.patient, slide.site].filter(Boolean).join(', ');
  return h(
    'a',
    { class: 'card', href: route(['slides', slide.id]) },
    thumbnail(slide.id),
    h('span', { class: 'card-text' },
      h('span', { class: 'card-name' }, slide.id),
      person && h('span', { class: 'soft small' }, person),
      h('span', { class: 'soft small number' }, `${size}, ${resolution(slide.mpp)}`),
      h('span', { class: 'chips' }, chips(slide))),
  );
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
function thumbnail(id) {
  const frame = h('span', { class: 'card-picture' });
  const picture = h('img', {
    src: address(['slides', id, 'thumbnail'], { max_px: 384 }), alt: '', loading: 'lazy', decoding: 'async',
    on: { error: () => frame.replaceChildren(icon('picture')) },
  });
  frame.append(picture);
  return frame;
}

/**
 * @param {any} slide
 * @returns {HTMLElement[]}
 */
function chips(slide) {
  const sum = (/** @type {(one: any) => number} */ of) => slide.archives.reduce((/** @type {number} */ all, /** @type {any} */ one) => all + of(one), 0);
  const patches = sum((one) => one.patches);
  const maps = sum((one) => one.maps.length);
  const embeddings = sum((one) => one.embeddings.length);
  const words = [
    patches && plural(patches, 'patch', 'patches'),
    maps && plural(maps, 'map'),
    embeddings && plural(embeddings, 'encoder'),
    !slide.pixels && 'thumbnail only',
  ];
  return words.filter(Boolean).map((word) => h('span', { class: 'badge' }, word));
}
