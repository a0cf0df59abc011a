/** The lines that a job writes, as they come. */

import { address, getJson } from '../api.js';
import { h } from '../dom.js';
import { trouble } from '../states.js';

const MOST_LINES = 2000;

export class LogView {
  /**
   * @param {string} id of the job
   * @param {AbortSignal} signal
   */
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.last = 0;
    this.lines = h('ol', { class: 'log mono', tabindex: 0, 'aria-label': 'Log of the job' });
    this.none = h('p', { class: 'soft small' }, 'Nothing was said yet.');
    this.element = h('div', {}, this.none, this.lines);
  }

  /** Read the lines that are not shown yet. */
  async read() {
    try {
      for (;;) {
        const told = await getJson(address(['jobs', this.id, 'log'], { after: this.last }), this.signal);
        if (!told.items.length) return;
        this.add(told.items);
      }
    } catch (error) {
      if (!this.signal.aborted) this.element.append(trouble(error));
    }
  }

  /** @param {any[]} lines those that are shown already are left out */
  add(lines) {
    const fresh = lines.filter((one) => one.number > this.last);
    if (!fresh.length) return;
    const { scrollTop, scrollHeight, clientHeight } = this.lines;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 8;
    this.last = fresh[fresh.length - 1].number;
    this.none.hidden = true;
    this.lines.append(...fresh.map(line));
    while (this.lines.children.length > MOST_LINES) this.lines.firstElementChild?.remove();
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }
}

/**
 * @param {any} one
 * @returns {HTMLElement}
 */
function line(one) {
  const time = one.at ? new Date(one.at).toLocaleTimeString('en-GB') : '';
  return h('li', { class: `log-line level-${/^\w+$/.test(one.level ?? '') ? one.level : 'info'}` },
    h('span', { class: 'soft' }, time), h('span', {}, one.text));
}
