/** The page of one job: how far it is, what it says, and what came of it. */

import { address, getJson, sendJson } from '../api.js';
import { fill, h, say } from '../dom.js';
import { moment, percent } from '../format.js';
import { icon } from '../icons.js';
import { route } from '../routes.js';
import { may } from '../session.js';
import { loading, trouble } from '../states.js';
import { listen } from './events.js';
import { LogView } from './log.js';
import { outcome } from './outcome.js';
import { hasEnded, lasted, progressOf, stateBadge } from './words.js';

/**
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 * @param {string} id
 */
export async function openJob(place, visit, id) {
  document.title = 'Job – microtome';
  fill(place, h('div', { class: 'page' }, loading('Loading the job')));
  const job = await getJson(address(['jobs', id]), visit.signal);
  document.title = `${job.workflow} – microtome`;
  const view = new JobView(job, visit.signal);
  fill(place, h('div', { class: 'page narrow' }, h('a', { class: 'back', href: route(['jobs']) }, icon('back'), 'All jobs'), view.element));
  await view.follow();
}

class JobView {
  /**
   * @param {any} job as the API describes it
   * @param {AbortSignal} signal
   */
  constructor(job, signal) {
    this.job = job;
    this.signal = signal;
    this.log = new LogView(job.id, signal);
    this.state = h('span', {});
    this.actions = h('div', { class: 'row' });
    this.bar = h('div', { class: 'job-progress' });
    this.facts = h('dl', { class: 'facts' });
    this.notice = h('div', {});
    this.came = h('div', {});
    const config = JSON.stringify(job.config ?? {}, null, 2);
    this.element = h('div', { class: 'job' },
      h('header', { class: 'page-head' }, h('h1', {}, job.workflow), this.state, this.actions),
      this.bar, this.notice, this.facts, this.came,
      h('section', { class: 'block' }, h('h2', {}, 'Log'), this.log.element),
      h('details', { class: 'section folded' }, h('summary', {}, h('h2', {}, 'Settings that were given')), h('pre', { class: 'mono code' }, config)));
    this.draw();
  }

  /** Read the log, then listen until the job has ended. */
  async follow() {
    const tell = (/** @type {boolean} */ connected) => fill(this.notice, !connected && !hasEnded(this.job) && h('p', { class: 'soft small' }, 'The connection is lost; it is tried again.'));
    try {
      await this.log.read();
      if (!hasEnded(this.job)) await listen(address(['jobs', this.job.id, 'events']), (event) => this.take(event), this.signal, tell);
      await this.log.read();
    } catch (error) {
      if (!this.signal.aborted) fill(this.notice, trouble(error, () => this.follow()));
    }
  }

  /**
   * @param {import('./events.js').StreamEvent} event
   * @returns {boolean} whether more will come
   */
  take({ event, data }) {
    if (event === 'log') this.log.add(Array.isArray(data) ? data : [data]);
    else if (event === 'progress') this.update({ ...this.job, progress: data.progress ?? data });
    else if (data?.state) this.update({ ...this.job, ...data });
    return !hasEnded(this.job);
  }

  /** @param {any} job */
  update(job) {
    const before = this.job.state;
    this.job = job;
    this.draw();
    if (before !== job.state) say(`The job is ${job.state}.`);
  }

  draw() {
    const { job } = this;
    const ended = hasEnded(job);
    const cancelling = this.cancelling || job.cancelling;
    if (this.state.textContent !== job.state) fill(this.state, stateBadge(job.state));
    fill(this.actions,
      !ended && may('submit') && h('button', { class: 'button danger slim', type: 'button', disabled: cancelling, on: { click: () => this.cancel() } }, cancelling ? 'Cancelling …' : 'Cancel'),
      ended && may('submit') && h('a', { class: 'button slim', href: route(['jobs', 'new', job.workflow]) }, 'Another one'));
    fill(this.bar, !ended && progressBar(job));
    const entry = (/** @type {string} */ name, /** @type {any} */ value) => (value ? [h('dt', {}, name), h('dd', {}, value)] : []);
    fill(this.facts,
      entry('ID', job.id), entry('Submitted', `${moment(job.created)}${job.submitted_by ? ` by ${job.submitted_by}` : ''}`),
      entry('Began', job.started && moment(job.started)), entry(ended ? 'Ran' : 'Has run', job.started && lasted(job)),
      entry('Attempt', job.attempts > 1 && job.attempts));
    if (ended && !this.shown) this.finish();
  }

  /** Show what came of it, once. */
  finish() {
    this.shown = true;
    const { job } = this;
    if (job.state === 'failed') fill(this.notice, h('div', { class: 'notice alarm', role: 'alert' }, h('p', { class: 'strong' }, 'The job failed.'), h('p', { class: 'wrap' }, job.error ?? 'Its log says more.')));
    outcome(this.came, job, this.signal);
  }

  async cancel() {
    this.cancelling = true;
    this.draw();
    try {
      this.update({ ...this.job, ...await sendJson('POST', address(['jobs', this.job.id, 'cancel'])) });
    } catch (error) {
      this.cancelling = false;
      this.draw();
      fill(this.notice, trouble(error));
    }
  }
}

/**
 * @param {any} job
 * @returns {HTMLElement[]}
 */
function progressBar(job) {
  if (job.state === 'queued') return [h('p', { class: 'soft' }, 'It waits for its turn.')];
  const { share, text } = progressOf(job.progress);
  const bar = h('progress', { max: 1, 'aria-label': 'Progress' });
  if (share !== null) bar.value = share;
  return [bar, h('p', { class: 'soft small number' }, [text, share !== null && percent(share)].filter(Boolean).join(' · ') || 'It runs.')];
}
