/** The section that saves a part of the slide as a picture: drawn, typed, or what the window shows. */

import { Problem, address, ask } from '../api.js';
import { fill, h, say } from '../dom.js';
import { count, length, resolution } from '../format.js';
import { saveBlob } from './saving.js';

const COARSER = [0.5, 1, 2, 4, 8, 16, 32];
/** Usual microns per pixel, those coarser than the slide are offered. */
const DEFAULT_PX = 2048;
/** At first the finest resolution is chosen at which the result is not wider. */

export class RegionSection {
  /** @param {import('./context.js').SlideContext} context */
  constructor(context) {
    this.context = context;
    const number = (/** @type {string} */ name, /** @type {string} */ label) => {
      const input = h('input', { type: 'number', id: `region-${name}`, min: name.length > 1 ? 1 : 0, step: 1, required: true, on: { input: () => this.changed() } });
      return [input, h('div', { class: 'field' }, h('label', { for: `region-${name}` }, label), input)];
    };
    const [x, xField] = number('x', 'Left');
    const [y, yField] = number('y', 'Top');
    const [width, widthField] = number('width', 'Width');
    const [height, heightField] = number('height', 'Height');
    this.inputs = { x, y, width, height };
    this.mpp = h('select', { id: 'region-mpp', on: { change: () => this.describe() } }, this.resolutions());
    this.format = h('select', { id: 'region-format' }, h('option', { value: 'jpeg' }, 'JPEG'), h('option', { value: 'png' }, 'PNG, lossless'));
    this.told = h('p', { class: 'soft small number', 'aria-live': 'polite' });
    this.wrong = h('p', { class: 'wrong small', role: 'alert' });
    this.save = h('button', { class: 'button main', type: 'submit' }, 'Save the picture');
    this.element = h('form', { class: 'stack', on: { submit: (/** @type {Event} */ event) => this.submit(event) } },
      h('p', { class: 'soft small' }, 'In pixels of level 0. Draw a rectangle, or type it.'),
      h('div', { class: 'row' },
        h('button', { class: 'button slim', type: 'button', on: { click: () => context.drawRegion() } }, 'Draw'),
        h('button', { class: 'button slim', type: 'button', on: { click: () => this.take(context.screen.view) } }, 'What is shown')),
      h('div', { class: 'pairs' }, xField, yField, widthField, heightField,
        h('div', { class: 'field' }, h('label', { for: 'region-mpp' }, 'Resolution'), this.mpp),
        h('div', { class: 'field' }, h('label', { for: 'region-format' }, 'Format'), this.format)),
      this.told, this.wrong, h('div', {}, this.save));
    context.screen.overlay.add((paint, _view, scale) => this.paint(paint, scale));
  }

  /** @returns {HTMLElement[]} */
  resolutions() {
    const { mpp } = this.context.screen.frame;
    const option = (/** @type {any} */ value, /** @type {string} */ text) => h('option', { value }, text);
    if (!mpp) return [option('', 'As scanned')];
    return [option('', resolution(mpp)), ...COARSER.filter((one) => one > mpp * 1.03).map((one) => option(one, resolution(one)))];
  }

  /** @returns {boolean} whether its section is unfolded */
  get isOpen() {
    return /** @type {HTMLDetailsElement | null} */ (this.element.closest('details'))?.open ?? false;
  }

  /** @returns {import('./frame.js').Box | null} what is typed, if it is whole */
  get box() {
    const { x, y, width, height } = this.inputs;
    const box = { x: x.valueAsNumber, y: y.valueAsNumber, width: width.valueAsNumber, height: height.valueAsNumber };
    return Object.values(box).every(Number.isFinite) && box.width > 0 && box.height > 0 ? box : null;
  }

  /** @param {import('./frame.js').Box} box */
  take(box) {
    const clipped = this.context.screen.frame.clip(box);
    for (const [name, input] of Object.entries(this.inputs)) input.value = String(/** @type {any} */ (clipped)[name]);
    const fits = [...this.mpp.options].find((one) => clipped.width / this.reduction(one.value) <= DEFAULT_PX);
    this.mpp.value = (fits ?? this.mpp.options[this.mpp.options.length - 1]).value;
    this.changed();
  }

  /**
   * @param {string} mpp as chosen
   * @returns {number} level-0 pixels per pixel of the result
   */
  reduction(mpp) {
    return mpp && this.context.screen.frame.mpp ? Number(mpp) / this.context.screen.frame.mpp : 1;
  }

  changed() {
    fill(this.wrong);
    this.describe();
    this.context.screen.overlay.draw();
  }

  describe() {
    const result = this.result;
    const { mpp } = this.context.screen.frame;
    const place = mpp && this.box ? ` · ${length(this.box.width * mpp)} × ${length(this.box.height * mpp)}` : '';
    fill(this.told, result ? `${count(result.width)} × ${count(result.height)} px${place}` : '');
  }

  /** @returns {{width: number, height: number} | null} size of the picture */
  get result() {
    const { box } = this;
    if (!box) return null;
    const by = this.reduction(this.mpp.value);
    return { width: Math.max(1, Math.round(box.width / by)), height: Math.max(1, Math.round(box.height / by)) };
  }

  /** @param {Event} event */
  async submit(event) {
    event.preventDefault();
    const { box, result, context } = this;
    if (!box || !result) return;
    const how = this.mpp.value ? { mpp: this.mpp.value } : { level: 0 };
    const format = this.format.value;
    const url = address(['slides', context.id, 'region'], { x: box.x, y: box.y, ...result, ...how, format });
    this.save.disabled = true;
    fill(this.wrong);
    try {
      const picture = await (await ask(url, { signal: context.signal })).blob();
      saveBlob(picture, `${context.id}_${box.x}_${box.y}.${format === 'png' ? 'png' : 'jpg'}`);
      say('The picture is saved.');
    } catch (error) {
      if (!context.signal.aborted) fill(this.wrong, error instanceof Problem ? error.message : 'That did not work.');
    } finally {
      this.save.disabled = false;
    }
  }

  /**
   * @param {CanvasRenderingContext2D} paint
   * @param {number} scale
   */
  paint(paint, scale) {
    const { box } = this;
    if (!box || !this.isOpen) return;
    for (const [colour, dash] of [['#ffffff', []], ['#12161a', [6 / scale, 6 / scale]]]) {
      paint.strokeStyle = String(colour);
      paint.lineWidth = 2 / scale;
      paint.setLineDash(/** @type {number[]} */ (dash));
      paint.strokeRect(box.x, box.y, box.width, box.height);
    }
    paint.setLineDash([]);
  }
}
