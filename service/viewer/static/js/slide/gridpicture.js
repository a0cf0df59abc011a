/** The grid as a picture with one pixel for each patch, for where they are too small for lines. */

export const READABLE = [0, 114, 178];
export const UNREADABLE = [213, 43, 30];
const OPACITY = 110;
/** Of 255. */
const MOST_CELLS = 4_000_000;

/** @typedef {{canvas: HTMLCanvasElement, left: number, top: number, step: number}} Picture in level-0 pixels */

/**
 * Draw one pixel for each patch; where they overlap, a pixel stands for one step.
 * @param {import('./grid.js').PatchGrid} grid
 * @returns {Picture}
 */
export function drawPicture(grid) {
  const { x, y } = grid;
  const [left, right] = range(x);
  const [top, bottom] = range(y);
  let step = leastStep(x) || leastStep(y) || grid.width;
  while (((right - left) / step + 1) * ((bottom - top) / step + 1) > MOST_CELLS) step *= 2;
  const canvas = document.createElement('canvas');
  canvas.width = Math.floor((right - left) / step) + 1;
  canvas.height = Math.floor((bottom - top) / step) + 1;
  const paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const picture = paint.createImageData(canvas.width, canvas.height);
  for (let index = 0; index < grid.count; index += 1) {
    const cell = Math.floor((y[index] - top) / step) * canvas.width + Math.floor((x[index] - left) / step);
    picture.data.set([...(grid.broken?.[index] ? UNREADABLE : READABLE), OPACITY], 4 * cell);
  }
  paint.putImageData(picture, 0, 0);
  return { canvas, left, top, step };
}

/**
 * @param {ArrayLike<number>} values
 * @returns {[number, number]}
 */
function range(values) {
  let [least, most] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index += 1) {
    least = Math.min(least, values[index]);
    most = Math.max(most, values[index]);
  }
  return [least, most];
}

/**
 * @param {ArrayLike<number>} values
 * @returns {number} least distance between two that follow each other, 0 where all are the same
 */
function leastStep(values) {
  let step = Infinity;
  for (let index = 1; index < values.length; index += 1) {
    const away = values[index] - values[index - 1];
    if (away > 0) step = Math.min(step, away);
  }
  return Number.isFinite(step) ? step : 0;
}
