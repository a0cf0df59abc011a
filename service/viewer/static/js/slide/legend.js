/** What the colours of a map mean: classes with areas, or a scale from low to high. */

import { h } from '../dom.js';
import { area, percent } from '../format.js';

/**
 * List the classes; a box beside each shows or hides it.
 * @param {any} map as the API lists it
 * @param {any} areas of the map
 * @param {number[]} hidden
 * @param {(hidden: number[]) => void} changed
 * @returns {HTMLElement}
 */
export function classLegend(map, areas, hidden, changed) {
  const off = new Set(hidden);
  /** @type {any[]} */
  const boxes = [];
  const tell = () => changed([...off].sort((a, b) => a - b));
  const setAll = (/** @type {boolean} */ shown) => {
    off.clear();
    boxes.forEach((box, number) => {
      box.checked = shown;
      if (!shown) off.add(number);
    });
    tell();
  };
  const rows = map.classes.map((/** @type {any} */ one, /** @type {number} */ number) => {
    const toggle = () => { (box.checked ? off.delete(number) : off.add(number)); tell(); };
    const box = h('input', { type: 'checkbox', checked: !off.has(number), on: { change: toggle } });
    boxes.push(box);
    const found = areas.classes[number];
    return h('li', {}, h('label', { class: 'legend-row' }, box, swatch(one.colour), h('span', { class: 'legend-name' }, one.name),
      h('span', { class: 'number soft' }, area(found.area_mm2)), h('span', { class: 'number legend-share' }, percent(found.share))));
  });
  return h('div', {},
    h('ul', { class: 'legend', 'aria-label': 'Classes of the map' }, rows),
    h('div', { class: 'row spread' },
      h('span', { class: 'soft small' }, `Together ${area(areas.area_mm2)}`),
      h('span', { class: 'row tight' },
        h('button', { class: 'button slim bare', type: 'button', on: { click: () => setAll(true) } }, 'All'),
        h('button', { class: 'button slim bare', type: 'button', on: { click: () => setAll(false) } }, 'None'))));
}

/**
 * @param {number[]} colour red, green, blue
 * @returns {HTMLElement}
 */
function swatch(colour) {
  const square = h('span', { class: 'swatch', 'aria-hidden': 'true' });
  square.style.backgroundColor = `rgb(${colour.map(Number).join(' ')})`;
  return square;
}

/**
 * Show the scale of a heatmap.
 * @param {any} map
 * @param {string} layer
 * @returns {HTMLElement}
 */
export function scaleLegend(map, layer) {
  const [low, high] = layer === 'entropy' ? ['sure', 'all classes equal'] : ['low', 'high'];
  return h('div', { class: 'scale-legend' }, h('div', { class: 'ramp', role: 'img', 'aria-label': `Colours from ${low} to ${high}` }),
    h('div', { class: 'row spread small soft' }, h('span', {}, low), h('span', {}, high)));
}
