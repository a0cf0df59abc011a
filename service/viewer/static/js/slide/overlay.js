/** A canvas over the slide: painters draw in level-0 pixels, again whenever the view moves. */

/** @typedef {(paint: CanvasRenderingContext2D, view: import('./frame.js').Box, scale: number) => void} Painter */

export class Overlay {
  /** @param {import('./screen.js').Screen} screen */
  constructor(screen) {
    this.screen = screen;
    /** @type {Painter[]} */
    this.painters = [];
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'overlay';
    this.canvas.setAttribute('aria-hidden', 'true');
    screen.viewer.canvas.append(this.canvas);
    screen.viewer.addHandler('update-viewport', () => this.draw());
    screen.viewer.addHandler('resize', () => this.draw());
  }

  /** @param {Painter} painter later ones draw over earlier ones */
  add(painter) {
    this.painters.push(painter);
  }

  /** Draw everything; x and y of the context are level-0 pixels. */
  draw() {
    const { viewer } = this.screen;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(viewer.container.clientWidth * ratio);
    const height = Math.round(viewer.container.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const paint = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d'));
    const { view, scale } = this.screen;
    paint.setTransform(1, 0, 0, 1, 0, 0);
    paint.clearRect(0, 0, width, height);
    paint.setTransform(scale * ratio, 0, 0, scale * ratio, -view.x * scale * ratio, -view.y * scale * ratio);
    for (const painter of this.painters) painter(paint, view, scale);
  }
}
