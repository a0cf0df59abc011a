/** Shortcuts: one table, used by the keys and by the dialog that lists them. */

import { h } from './dom.js';

/**
 * @typedef {object} Shortcut
 * @property {string} key as `KeyboardEvent.key` gives it
 * @property {string} does
 * @property {(event: KeyboardEvent) => void} act
 */

/** @type {Set<Shortcut>} */
const shortcuts = new Set();

/**
 * Have shortcuts as long as a page is open.
 * @param {Shortcut[]} wanted
 * @param {AbortSignal} [signal] ends them
 */
export function addShortcuts(wanted, signal) {
  for (const one of wanted) shortcuts.add(one);
  signal?.addEventListener('abort', () => wanted.forEach((one) => shortcuts.delete(one)));
}

/** Listen to the keyboard. */
export function watchKeyboard() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    const found = [...shortcuts].find((one) => one.key === event.key);
    if (!found) return;
    event.preventDefault();
    found.act(event);
  });
}

/**
 * @param {EventTarget | null} target
 * @returns {boolean} whether keys write something there
 */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button'].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** Show what keys do on this page. */
export function showHelp() {
  const rows = [...shortcuts].flatMap((one) => [h('dt', {}, h('kbd', {}, nameOf(one.key))), h('dd', {}, one.does)]);
  const dialog = h(
    'dialog',
    { id: 'help', 'aria-labelledby': 'help-head', on: { close: () => dialog.remove() } },
    h('h2', { id: 'help-head' }, 'Keys'),
    h('p', { class: 'soft' }, 'Tab goes from one control to the next; on the slide the arrow keys move it.'),
    h('dl', { class: 'keys' }, rows),
    h('button', { class: 'button', type: 'button', autofocus: true, on: { click: () => dialog.close() } }, 'Close'),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * @param {string} key
 * @returns {string}
 */
function nameOf(key) {
  return { Escape: 'Esc', ' ': 'Space' }[key] ?? key;
}
