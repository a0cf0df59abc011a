/** Buttons over the slide, and the keys that do the same. */

import { h } from '../dom.js';
import { icon } from '../icons.js';
import { addShortcuts } from '../keyboard.js';

/**
 * @typedef {object} Tool
 * @property {import('../icons.js').IconName | null} icon without one there is only the key
 * @property {string} label
 * @property {string} key
 * @property {() => void} act
 * @property {string} [state] name under which it is announced that it is on
 */

/**
 * @param {Tool[]} tools
 * @param {AbortSignal} signal
 * @returns {{element: HTMLElement, press: (state: string, on: boolean) => void}}
 */
export function makeToolbar(tools, signal) {
  addShortcuts(tools.map((tool) => ({ key: tool.key, does: tool.label, act: tool.act })), signal);
  /** @type {Record<string, HTMLElement>} */
  const pressed = {};
  const button = (/** @type {Tool} */ tool) => {
    const title = `${tool.label} (${tool.key})`;
    const made = h('button', { class: 'button tool', type: 'button', title, 'aria-label': tool.label, 'aria-keyshortcuts': tool.key, on: { click: tool.act } },
      icon(/** @type {import('../icons.js').IconName} */ (tool.icon)));
    if (tool.state) {
      pressed[tool.state] = made;
      made.setAttribute('aria-pressed', 'false');
    }
    return made;
  };
  return {
    element: h('div', { class: 'tools', role: 'toolbar', 'aria-label': 'Slide' }, tools.filter((tool) => tool.icon).map(button)),
    press: (state, on) => pressed[state]?.setAttribute('aria-pressed', String(on)),
  };
}
