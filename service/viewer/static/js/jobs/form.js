/** The page of a new job: a form made from the schema of its workflow. */

import { Problem, address, getJson, sendJson } from '../api.js';
import { fill, h, prose, say } from '../dom.js';
import { icon } from '../icons.js';
import { route } from '../routes.js';
import { empty, loading } from '../states.js';
import { makeControl } from './fields.js';
import { readField } from './schema.js';
import { suggestions } from './suggestions.js';

/** @typedef {import('./fields.js').Control} Control */

/**
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 * @param {string} name of the workflow, empty for the choice of one
 */
export async function openForm(place, visit, name) {
  document.title = 'New job – microtome';
  fill(place, h('div', { class: 'page' }, loading('Loading workflows')));
  const workflows = await getJson(address(['workflows']), visit.signal);
  const chosen = workflows.find((/** @type {any} */ one) => one.name === name);
  const lists = chosen ? await suggestions(chosen, visit.signal) : null;
  visit.signal.throwIfAborted();
  const back = h('a', { class: 'back', href: route(chosen || name ? ['jobs', 'new'] : ['jobs']) }, icon('back'), chosen || name ? 'All workflows' : 'All jobs');
  const content = chosen && lists ? jobForm(chosen, lists) : name ? empty(`There is no workflow ${name}.`) : choice(workflows);
  fill(place, h('div', { class: 'page narrow' }, back, content));
}

/**
 * @param {any[]} workflows
 * @returns {HTMLElement[]}
 */
function choice(workflows) {
  const card = (/** @type {any} */ one) => h('li', {}, h('a', { class: 'workflow', href: route(['jobs', 'new', one.name]) },
    h('span', { class: 'strong' }, one.name), h('span', { class: 'soft' }, prose(one.sentence))));
  return [h('h1', {}, 'What is to be done?'), h('ul', { class: 'workflows' }, workflows.map(card))];
}

/**
 * @param {any} workflow
 * @param {import('./suggestions.js').Suggestions} lists
 * @returns {HTMLElement[]}
 */
function jobForm(workflow, lists) {
  const { config_schema: schema, example } = workflow;
  const controls = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const field = readField(name, one, schema);
    if (schema.required?.includes(name)) field.fallback = undefined;
    return makeControl(field, { example: example[name], list: lists.idOf(name) });
  });
  const first = controls.filter((one) => one.field.fallback === undefined || one.field.name in example);
  const rest = controls.filter((one) => !first.includes(one));
  const wrong = h('div', { role: 'alert' });
  const folded = h('details', { class: 'section folded' }, h('summary', {}, h('h2', {}, `More settings (${rest.length})`)), h('div', { class: 'fields' }, rest.map((one) => one.element)));
  const priority = h('input', { type: 'number', id: 'priority', step: 1, value: 0, min: -100, max: 100 });
  const send = h('button', { class: 'button main', type: 'submit' }, icon('play'), 'Submit the job');
  const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    submitJob({ workflow: workflow.name, controls, priority, send, wrong, folded, key });
  };
  return [
    h('header', { class: 'form-head' }, h('h1', {}, workflow.name), h('p', { class: 'soft' }, prose(workflow.sentence))),
    h('form', { class: 'job-form', novalidate: true, on: { submit } },
      h('div', { class: 'fields' }, first.map((one) => one.element)),
      rest.length > 0 && folded,
      h('div', { class: 'fields' }, h('div', { class: 'field' }, h('label', { for: 'priority' }, 'Priority'), priority, h('p', { class: 'hint' }, 'Jobs with a higher one begin earlier.'))),
      wrong, h('div', {}, send), lists.element),
  ];
}

/**
 * Read the form; what is wrong is said beside its field.
 * @param {Control[]} controls
 * @returns {Record<string, any> | null}
 */
function readForm(controls) {
  /** @type {Record<string, any>} */
  const config = {};
  /** @type {Control | null} */
  let first = null;
  for (const control of controls) {
    control.blame('');
    try {
      const value = control.read();
      if (value !== undefined) config[control.field.name] = value;
    } catch (error) {
      control.blame(/** @type {Error} */ (error).message);
      first ??= control;
    }
  }
  if (first) show(first);
  return first ? null : config;
}

/** @param {Control} control */
function show(control) {
  const fold = control.element.closest('details');
  if (fold) fold.open = true;
  control.focus();
}

/** @param {{workflow: string, controls: Control[], priority: any, send: any, wrong: HTMLElement, folded: HTMLElement, key: string}} form */
async function submitJob({ workflow, controls, priority, send, wrong, key }) {
  fill(wrong);
  const config = readForm(controls);
  if (!config) return;
  const priority_number = priority.valueAsNumber || 0;
  send.disabled = true;
  try {
    const digest = `${key}-${hash(JSON.stringify([config, priority_number]))}`; // sent twice it is one job, changed it is another
    const job = await sendJson('POST', address(['jobs']), { workflow, config, priority: priority_number }, { 'Idempotency-Key': digest });
    say('The job is submitted.');
    location.hash = route(['jobs', job.id]);
  } catch (error) {
    send.disabled = false;
    if (!(error instanceof Problem)) throw error;
    blameFields(error, controls);
    fill(wrong, h('div', { class: 'notice alarm' }, h('p', {}, error.message)));
  }
}

/**
 * Say the service's complaints beside their fields.
 * @param {Problem} problem
 * @param {Control[]} controls
 */
function blameFields(problem, controls) {
  const blamed = controls.filter(({ field, blame }) => {
    const found = problem.errors.find((one) => one.where?.split('.').includes(field.name));
    const named = found?.why ?? (problem.message.match(/^[\w ]+/)?.[0].toLowerCase().startsWith(`${field.name}:`) ? problem.message : '');
    if (named) blame(named);
    return named;
  });
  if (blamed[0]) show(blamed[0]);
}

/**
 * @param {string} text
 * @returns {string} short, the same for the same text
 */
function hash(text) {
  let value = 5381;
  for (let index = 0; index < text.length; index += 1) value = (value * 33 + text.charCodeAt(index)) >>> 0;
  return value.toString(36);
}
