/** Arithmetic between level-0 pixels, the viewport (the slide is 1 wide), the screen, and microns. */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Box in level-0 pixels */

export class Frame {
  /**
   * @param {number} width_px of the slide at level 0
   * @param {number} height_px
   * @param {number | null} mpp microns per level-0 pixel; null where nobody knows
   */
  constructor(width_px, height_px, mpp) {
    this.width_px = width_px;
    this.height_px = height_px;
    this.mpp = mpp;
  }

  /**
   * @param {number} x level-0 pixels
   * @param {number} y
   * @returns {Point} in the viewport
   */
  toViewport(x, y) {
    return { x: x / this.width_px, y: y / this.width_px };
  }

  /**
   * @param {Point} point in the viewport
   * @returns {Point} level-0 pixels
   */
  toLevel0(point) {
    return { x: point.x * this.width_px, y: point.y * this.width_px };
  }

  /**
   * @param {number} zoom of the viewport: widths of the window per width of the slide
   * @param {number} window_px width of the window, CSS pixels
   * @returns {number} CSS pixels per level-0 pixel
   */
  scaleOf(zoom, window_px) {
    return (zoom * window_px) / this.width_px;
  }

  /**
   * @param {number} scale CSS pixels per level-0 pixel
   * @param {number} window_px
   * @returns {number} zoom of the viewport
   */
  zoomOf(scale, window_px) {
    return (scale * this.width_px) / window_px;
  }

  /**
   * Cut a box to the slide, in whole pixels.
   * @param {Box} box
   * @returns {Box}
   */
  clip(box) {
    const left = Math.max(0, Math.round(box.x));
    const top = Math.max(0, Math.round(box.y));
    const right = Math.min(this.width_px, Math.round(box.x + box.width));
    const bottom = Math.min(this.height_px, Math.round(box.y + box.height));
    return { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  }
}

const STEPS = [5, 2, 1];

/**
 * Choose the scale bar: the longest of 1, 2 or 5 times a power of ten that fits.
 * @param {number} um_per_px microns per CSS pixel
 * @param {number} most_px
 * @returns {{um: number, px: number}}
 */
export function scaleBar(um_per_px, most_px) {
  const most = um_per_px * most_px;
  const power = 10 ** Math.floor(Math.log10(most));
  const step = STEPS.find((one) => one * power <= most * (1 + 1e-9)) ?? 1;
  const um = step * power;
  return { um, px: um / um_per_px };
}
