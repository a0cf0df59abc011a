/** Events of a job as they happen (text/event-stream), read with fetch: connects again by itself. */

import { Problem, ask, isGone } from '../api.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** @typedef {{event: string, data: any, id: string}} StreamEvent */

/**
 * Listen until the signal ends or the listener says that no more will come.
 * @param {string} url
 * @param {(event: StreamEvent) => boolean} take returns whether to go on
 * @param {AbortSignal} signal
 * @param {(connected: boolean) => void} [tell]
 */
export async function listen(url, take, signal, tell = () => {}) {
  let [last, pause] = ['', FIRST_PAUSE_MS];
  while (!signal.aborted) {
    try {
      const headers = { Accept: 'text/event-stream', ...(last && { 'Last-Event-ID': last }) };
      const response = await ask(url, { signal, headers });
      tell(true);
      for await (const event of events(response)) {
        pause = FIRST_PAUSE_MS;
        last = event.id || last;
        if (!take(event)) return;
      }
    } catch (error) {
      if (isGone(error) || signal.aborted) return;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    tell(false);
    await rest(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

/**
 * @param {Response} response
 * @returns {AsyncGenerator<StreamEvent>}
 */
async function* events(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text = (text + decoder.decode(value, { stream: true })).replaceAll('\r\n', '\n');
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * @param {string} block lines of one event
 * @returns {StreamEvent | null} null for a comment that only keeps the connection
 */
export function parse(block) {
  const found = { event: 'message', data: '', id: '' };
  for (const line of block.split('\n')) {
    const [, name, value] = line.match(/^(event|data|id): ?(.*)$/) ?? [];
    if (name === 'data') found.data += found.data ? `\n${value}` : value;
    else if (name) found[/** @type {'event' | 'id'} */ (name)] = value;
  }
  if (!found.data) return null;
  try {
    return { ...found, data: JSON.parse(found.data) };
  } catch {
    return found;
  }
}

/**
 * @param {number} pause_ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function rest(pause_ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, pause_ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      done();
    }, { once: true });
  });
}
