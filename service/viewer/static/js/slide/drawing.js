/** Drawing a rectangle on the slide with mouse, pen or finger; Escape ends it. */

import { h, say } from '../dom.js';

const LEAST_PX = 4;
/** A smaller one was a click. */

/**
 * Let the person draw one rectangle.
 * @param {import('./screen.js').Screen} screen
 * @param {HTMLElement} stage
 * @param {AbortSignal} signal ends it without a result
 * @returns {Promise<import('./frame.js').Box | null>} in level-0 pixels; null where it was ended
 */
export function drawRectangle(screen, stage, signal) {
  return new Promise((done) => {
    const mark = h('div', { class: 'rubber', hidden: true });
    /** @type {HTMLElement} */
    const sheet = h('div', { class: 'sheet' }, h('p', { class: 'sheet-hint' }, 'Draw a rectangle. Esc ends it.'), mark);
    const over = new AbortController();
    const end = (/** @type {import('./frame.js').Box | null} */ box) => {
      over.abort();
      sheet.remove();
      done(box);
    };
    /** @type {PointerEvent | null} */
    let start = null;
    sheet.addEventListener('pointerdown', (event) => {
      start = event;
      sheet.setPointerCapture(event.pointerId);
    });
    sheet.addEventListener('pointermove', (event) => {
      if (start) place(mark, start, event, sheet.getBoundingClientRect());
    });
    sheet.addEventListener('pointerup', (event) => {
      if (!start) return;
      const small = Math.min(Math.abs(event.clientX - start.clientX), Math.abs(event.clientY - start.clientY)) < LEAST_PX;
      if (small) start = null;
      else end(between(screen.under(start), screen.under(event)));
    });
    sheet.addEventListener('pointercancel', () => end(null));
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault(); // and so no shortcut takes it
      end(null);
    }, { signal: over.signal, capture: true });
    signal.addEventListener('abort', () => end(null), { signal: over.signal });
    stage.append(sheet);
    say('Draw a rectangle on the slide.');
  });
}

/**
 * @param {HTMLElement} mark
 * @param {PointerEvent} start
 * @param {PointerEvent} now
 * @param {DOMRect} sheet
 */
function place(mark, start, now, sheet) {
  mark.hidden = false;
  mark.style.left = `${Math.min(start.clientX, now.clientX) - sheet.left}px`;
  mark.style.top = `${Math.min(start.clientY, now.clientY) - sheet.top}px`;
  mark.style.width = `${Math.abs(now.clientX - start.clientX)}px`;
  mark.style.height = `${Math.abs(now.clientY - start.clientY)}px`;
}

/**
 * @param {import('./frame.js').Point} a
 * @param {import('./frame.js').Point} b
 * @returns {import('./frame.js').Box}
 */
function between(a, b) {
  return { x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(a.x - b.x), height: Math.abs(a.y - b.y) };
}
