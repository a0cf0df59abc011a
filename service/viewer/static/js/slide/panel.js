/** The panel beside the slide: sections that fold. */

import { h } from '../dom.js';
import { fillLater } from '../states.js';

/** @typedef {import('../dom.js').Child | import('../dom.js').Child[]} Content */

/**
 * @param {string} name of the section, for its ID
 * @param {string} heading
 * @param {Content} content
 * @param {boolean} [open]
 * @returns {HTMLElement}
 */
export function section(name, heading, content, open = false) {
  return h('details', { class: 'section', id: `section-${name}`, open }, h('summary', {}, h('h2', {}, heading)), h('div', { class: 'section-body' }, content));
}

/**
 * A section that is filled when it is first opened.
 * @param {string} name
 * @param {string} heading
 * @param {() => Promise<Content>} bring
 * @returns {HTMLElement}
 */
export function lateSection(name, heading, bring) {
  const place = h('div', {});
  const made = section(name, heading, place);
  made.addEventListener('toggle', () => {
    if (/** @type {HTMLDetailsElement} */ (made).open && !place.firstChild) fillLater(place, bring);
  });
  return made;
}
