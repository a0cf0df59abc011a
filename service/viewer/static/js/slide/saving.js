/** Files for the person: a picture that was fetched, a link that downloads. */

import { h } from '../dom.js';

const KEPT_MS = 60_000;

/**
 * Save bytes as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/**
 * A link that downloads; the server names the file.
 * @param {string} url
 * @param {string} text
 * @param {string} [label] for a screen reader, where the text says too little
 * @returns {HTMLElement}
 */
export function downloadLink(url, text, label) {
  return h('a', { class: 'button slim', href: url, download: '', 'aria-label': label }, text);
}
