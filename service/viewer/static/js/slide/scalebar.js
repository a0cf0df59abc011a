/** The bar in the corner: how long something is, and how much the slide is magnified. */

import { h } from '../dom.js';
import { count, length, short } from '../format.js';
import { scaleBar } from './frame.js';

const MOST_PX = 140;
const UM_AT_1X = 10;
/** A microscope's 40x is about 0.25 microns per pixel. */

/**
 * Put the bar over the slide.
 * @param {import('./screen.js').Screen} screen
 * @returns {HTMLElement}
 */
export function makeScaleBar(screen) {
  const bar = h('span', { class: 'scale-line' });
  const text = h('span', { class: 'scale-text' });
  const place = h('div', { class: 'scale', role: 'img' }, text, bar);
  const draw = () => {
    const { label, px, spoken } = describe(screen.scale, screen.frame.mpp);
    if (text.textContent === label && bar.dataset.px === px.toFixed(1)) return;
    text.textContent = label;
    bar.dataset.px = px.toFixed(1);
    bar.style.width = `${px.toFixed(1)}px`;
    place.setAttribute('aria-label', spoken);
  };
  for (const name of ['update-viewport', 'resize']) screen.viewer.addHandler(name, draw);
  draw();
  return place;
}

/**
 * @param {number} scale CSS pixels per level-0 pixel
 * @param {number | null} mpp
 * @returns {{label: string, px: number, spoken: string}}
 */
function describe(scale, mpp) {
  if (!mpp) {
    const { um: pixels, px } = scaleBar(1 / scale, MOST_PX);
    return { label: `${count(pixels)} px`, px, spoken: `Scale bar: ${count(pixels)} pixels of the slide` };
  }
  const um_per_px = mpp / scale;
  const { um, px } = scaleBar(um_per_px, MOST_PX);
  const power = `${short(UM_AT_1X / um_per_px, 2)}×`;
  return { label: `${length(um)} · ${power}`, px, spoken: `Scale bar: ${length(um)}; magnification about ${power}` };
}
