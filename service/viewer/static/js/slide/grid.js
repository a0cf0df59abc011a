/** The patches of a slide: which one is where, and the grid that is painted, quick for 100,000. */

import { READABLE, UNREADABLE, drawPicture } from './gridpicture.js';
import { firstFrom, firstRow, rowStarts } from './search.js';

const SMALL_PX = 5;
const MOST_LINED = 4000;
/** Smaller or more on the screen, patches are painted from a picture with one pixel for each. */
const LINE_PX = 1.25;

/** @typedef {import('./frame.js').Box} Box */

export class PatchGrid {
  /**
   * @param {object} patches
   * @param {ArrayLike<number>} patches.x left edges, level-0 pixels; rows from the top, each from the left
   * @param {ArrayLike<number>} patches.y
   * @param {ArrayLike<number>} [patches.status] 2 is unreadable
   * @param {[number, number]} size width and height of a patch, level-0 pixels
   */
  constructor({ x, y, status }, [width, height]) {
    this.x = x;
    this.y = y;
    this.width = width;
    this.height = height;
    this.count = x.length;
    this.broken = status ? Array.from(status, (one) => one === 2) : null;
    this.rows = rowStarts(y);
    /** @type {import('./gridpicture.js').Picture | null} */
    this.picture = null;
    this.shown = false;
    /** @type {number | null} */
    this.selected = null;
  }

  /**
   * Find the patches that touch a box.
   * @param {Box} box
   * @param {(index: number) => void} act
   */
  within(box, act) {
    const { x, y, width, height, rows } = this;
    for (let row = firstRow(rows, y, box.y - height); row < rows.length; row += 1) {
      const start = rows[row];
      if (y[start] >= box.y + box.height) return;
      const end = rows[row + 1] ?? this.count;
      for (let index = firstFrom(x, start, end, box.x - width); index < end; index += 1) {
        if (x[index] >= box.x + box.width) break;
        act(index);
      }
    }
  }

  /**
   * @param {import('./frame.js').Point} point level-0 pixels
   * @returns {number | null} the patch there, of several the one whose centre is nearest
   */
  at(point) {
    let [found, least] = /** @type {[number | null, number]} */ ([null, Infinity]);
    this.within({ x: point.x, y: point.y, width: 1e-6, height: 1e-6 }, (index) => {
      const middle = this.middle(index);
      const away = Math.hypot(middle.x - point.x, middle.y - point.y);
      if (away < least) [found, least] = [index, away];
    });
    return found;
  }

  /**
   * @param {number} index
   * @returns {import('./frame.js').Point} level-0 pixels
   */
  middle(index) {
    return { x: this.x[index] + this.width / 2, y: this.y[index] + this.height / 2 };
  }

  /** @type {import('./overlay.js').Painter} */
  paint = (paint, view, scale) => {
    if (this.shown && this.count) {
      const most = (view.width * view.height) / (this.width * this.height);
      const many = Math.min(this.count, most) > MOST_LINED || this.width * scale < SMALL_PX;
      if (many) this.paintPicture(paint);
      else this.paintLines(paint, view, scale);
    }
    if (this.selected !== null) this.paintSelected(paint, scale);
  };

  /**
   * Paint the edges as thin bars, which is many times quicker than stroking rectangles;
   * neighbours in a row share their upper and lower one.
   * @param {CanvasRenderingContext2D} paint
   * @param {Box} view
   * @param {number} scale
   */
  paintLines(paint, view, scale) {
    const { x, y, width, height } = this;
    const thick = LINE_PX / scale;
    const upright = (/** @type {number} */ at, /** @type {number} */ top) => paint.fillRect(at - thick / 2, top, thick, height);
    const flat = (/** @type {number} */ top, /** @type {number} */ from, /** @type {number} */ to) => paint.fillRect(from, top - thick / 2, to - from, thick);
    /** @type {number[]} */
    const broken = [];
    let [from, to, top] = [0, -Infinity, NaN];
    const end = () => {
      if (Number.isNaN(top)) return;
      flat(top, from, to);
      flat(top + height, from, to);
      upright(to, top);
    };
    paint.fillStyle = `rgb(${READABLE.join(' ')} / 70%)`;
    this.within(view, (index) => {
      if (y[index] !== top || x[index] > to) {
        end();
        [from, top] = [x[index], y[index]];
      } else if (x[index] < to) upright(to, top); // they overlap
      to = x[index] + width;
      upright(x[index], y[index]);
      if (this.broken?.[index]) broken.push(index);
    });
    end();
    paint.fillStyle = `rgb(${UNREADABLE.join(' ')} / 55%)`;
    for (const index of broken) paint.fillRect(x[index], y[index], width, height);
  }

  /** @param {CanvasRenderingContext2D} paint */
  paintPicture(paint) {
    this.picture ??= drawPicture(this);
    const { canvas, left, top, step } = this.picture;
    paint.imageSmoothingEnabled = false;
    paint.drawImage(canvas, left, top, canvas.width * step, canvas.height * step);
  }

  /**
   * @param {CanvasRenderingContext2D} paint
   * @param {number} scale
   */
  paintSelected(paint, scale) {
    const index = /** @type {number} */ (this.selected);
    for (const [colour, width] of [['#ffffff', 5], ['#d4008f', 2.5]]) {
      paint.strokeStyle = String(colour);
      paint.lineWidth = Number(width) / scale;
      paint.strokeRect(this.x[index], this.y[index], this.width, this.height);
    }
  }
}
