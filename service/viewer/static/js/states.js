/** What stands where something is missing: it loads, there is none, or it went wrong. */

import { Problem, isGone } from './api.js';
import { fill, h, say } from './dom.js';
import { icon } from './icons.js';

/**
 * @param {string} [what]
 * @returns {HTMLElement}
 */
export function loading(what = 'Loading') {
  return h('p', { class: 'state', role: 'status' }, h('span', { class: 'spinner', 'aria-hidden': 'true' }), `${what} …`);
}

/**
 * @param {string} heading
 * @param {...import('./dom.js').Child} more
 * @returns {HTMLElement}
 */
export function empty(heading, ...more) {
  return h('div', { class: 'state empty' }, h('p', { class: 'strong' }, heading), ...more);
}

/**
 * Say what went wrong, and offer to try again.
 * @param {unknown} error
 * @param {() => void} [again]
 * @returns {HTMLElement}
 */
export function trouble(error, again) {
  const problem = error instanceof Problem ? error : null;
  const text = problem ? problem.message : 'Something in the viewer went wrong. Reload the page.';
  if (!problem) console.error(error);
  return h(
    'div',
    { class: 'notice alarm', role: 'alert' },
    h('p', {}, text),
    again && h('button', { class: 'button', type: 'button', on: { click: again } }, icon('retry'), 'Try again'),
  );
}

/** @type {WeakMap<Element, object>} what was asked for last in each place */
const latest = new WeakMap();

/**
 * Fill a place with what a function brings; meanwhile and afterwards say how it goes.
 * @param {Element} place
 * @param {() => Promise<import('./dom.js').Child | import('./dom.js').Child[]>} bring
 * @param {string} [what]
 */
export async function fillLater(place, bring, what) {
  const turn = {};
  latest.set(place, turn);
  fill(place, loading(what));
  try {
    const brought = await bring();
    if (latest.get(place) === turn) fill(place, brought);
  } catch (error) {
    if (isGone(error) || latest.get(place) !== turn) return;
    fill(place, trouble(error, () => fillLater(place, bring, what)));
    say('Something went wrong.');
  }
}
