/** The page of one slide: the screen, the panel beside it, and what holds them together. */

import { Problem, address, getJson } from '../api.js';
import { fill, h } from '../dom.js';
import { route } from '../routes.js';
import { may } from '../session.js';
import { loading } from '../states.js';
import { SlideContext } from './context.js';
import { associated, details } from './details.js';
import { downloads } from './downloads.js';
import { Frame } from './frame.js';
import { MapsSection } from './maps.js';
import { lateSection, section } from './panel.js';
import { PatchesSection } from './patches.js';
import { RegionSection } from './region.js';
import { openScreen } from './screen.js';
import { drawStage } from './stage.js';
import { writeState } from './state.js';

/**
 * Show a slide.
 * @param {HTMLElement} place
 * @param {import('../main.js').Visit} visit
 */
export async function openSlide(place, visit) {
  const [id] = visit.parts;
  document.title = `${id} – microtome`;
  fill(place, h('div', { class: 'page' }, loading('Opening the slide')));
  const slide = await getJson(address(['slides', id]), visit.signal);
  const maps = slide.archives.length ? await getJson(address(['slides', id, 'maps']), visit.signal) : [];
  if (!slide.size_px) throw new Problem(0, 'Nobody knows how large this slide is, so it cannot be shown.');
  visit.signal.throwIfAborted();
  const element = h('div', { class: 'screen' });
  const stage = h('section', { class: 'stage', 'aria-label': 'Slide' }, element);
  const panel = h('aside', { class: 'panel', 'aria-label': 'About the slide' });
  fill(place, h('div', { class: 'slide-page' }, stage, panel));
  const context = new SlideContext(slide, visit, stage);
  const [width, height] = slide.size_px;
  context.screen = await openScreen(element, slide, new Frame(width, height, slide.mpp), visit.signal);
  visit.signal.throwIfAborted();
  const held = slide.archives.find((/** @type {any} */ one) => one.name === context.state.archive) ?? slide.archives[0];
  if (Object.values(context.state.place).some((one) => one !== undefined)) context.screen.goTo(context.state.place, true);
  drawStage(context);
  drawPanel(context, panel, held, maps.filter((/** @type {any} */ one) => !held || one.archive === held.name));
  context.screen.onRest(() => context.remember());
  context.screen.onClick((point) => context.patches?.selectAt(point));
  context.ready = true;
  await context.patches?.open();
}

/**
 * @param {SlideContext} context
 * @param {HTMLElement} panel
 * @param {any} held what the chosen archive has of the slide, if any has
 * @param {any[]} maps of that archive
 */
function drawPanel(context, panel, held, maps) {
  const { slide } = context;
  context.maps = new MapsSection(context, context.state, maps);
  context.patches = held ? new PatchesSection(context, held) : null;
  context.region = slide.pixels ? new RegionSection(context) : null;
  const none = (/** @type {string} */ text) => h('p', { class: 'soft small' }, text);
  fill(panel,
    h('header', { class: 'panel-head' }, h('h1', {}, context.id), archiveChoice(context, held),
      !slide.pixels && none('Only the thumbnail in the archive can be shown: the file of the slide is not within reach.')),
    section('maps', 'Maps', maps.length ? context.maps.element : none('There is no map of this slide yet.'), true),
    section('patches', 'Patches', context.patches?.element ?? none('No archive holds patches of this slide yet.'), true),
    context.region && regionSection(context, context.region),
    lateSection('downloads', 'Downloads', () => downloads(context, maps)),
    section('details', 'About the slide', details(slide)),
    may('phi') && slide.pixels && lateSection('associated', 'Label and other images', () => associated(context)));
}

/**
 * @param {SlideContext} context
 * @param {RegionSection} region
 * @returns {HTMLElement}
 */
function regionSection(context, region) {
  const made = section('region', 'Save a region', region.element);
  made.addEventListener('toggle', () => context.screen.overlay.draw());
  return made;
}

/**
 * @param {SlideContext} context
 * @param {any} held
 * @returns {HTMLElement | null}
 */
function archiveChoice(context, held) {
  const { archives } = context.slide;
  if (archives.length < 2) return null;
  const change = () => { location.hash = route(['slides', context.id], { ...writeState(context.state, context.screen.place), patch: '', map: '', archive: select.value }); };
  const select = h('select', { 'aria-label': 'Archive', on: { change } },
    archives.map((/** @type {any} */ one) => h('option', { value: one.name, selected: one.name === held.name }, one.name)));
  return select;
}
