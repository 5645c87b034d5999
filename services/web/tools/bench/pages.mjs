/** What Lighthouse says of a page with its desktop preset: each time in a fresh browser, the median of several times. */
import lighthouse, { desktopConfig } from 'lighthouse';
import { logIn, withBrowser } from '../browser.mjs';
import { median } from './median.mjs';

const CATEGORIES = ['performance', 'accessibility', 'best-practices'];
const FLAGS = { onlyCategories: CATEGORIES, disableStorageReset: true, logLevel: 'error' };
const TIMES = 3;

/** `username`: who is logged in, if anybody. Milliseconds, bytes as they travel, scores of 100. */
export async function measurePage(address, path, username) {
  const runs = [];
  for (let run = 0; run < TIMES; run += 1) runs.push(await auditOnce(address, path, username));
  const measured = Object.fromEntries(Object.keys(runs[0].values).map((name) => [name, medianOf(runs, name)]));
  return { path, ...measured, complaints: [...new Set(runs.flatMap(({ complaints }) => complaints))] };
}

const medianOf = (runs, name) => median(runs.map(({ values }) => values[name]));

function auditOnce(address, path, username) {
  return withBrowser(async (browser) => {
    const page = await browser.newPage();
    if (username !== undefined) await logIn(browser, address, username);
    const { lhr } = await lighthouse(address + path, FLAGS, desktopConfig, page);
    if (lhr.runtimeError) throw new Error(`${path}: ${lhr.runtimeError.message}`);
    if (new URL(lhr.finalDisplayedUrl).pathname !== path) throw new Error(`${path} led to ${lhr.finalDisplayedUrl}`);
    return { values: valuesOf(lhr), complaints: complaintsOf(lhr) };
  });
}

function valuesOf({ audits, categories }) {
  const scores = CATEGORIES.map((id) => [id, Math.round(categories[id].score * 100)]);
  return {
    ...Object.fromEntries(scores),
    fcp_ms: audits['first-contentful-paint'].numericValue,
    tti_ms: audits.interactive.numericValue,
    bytes: bytesUntilDrawn(audits),
  };
}

/** Of what was asked for until the largest part was on screen; what is fetched ahead comes after that. */
function bytesUntilDrawn(audits) {
  const { observedLargestContentfulPaint: drawn } = audits.metrics.details.items[0];
  const requests = audits['network-requests'].details.items;
  return requests
    .filter(({ networkRequestTime: at }) => at <= drawn)
    .reduce((sum, { transferSize }) => sum + transferSize, 0);
}

/** What cost accessibility or best practices something. */
function complaintsOf({ audits, categories }) {
  const references = ['accessibility', 'best-practices'].flatMap((id) => categories[id].auditRefs);
  return references
    .filter(({ id, weight }) => weight > 0 && audits[id].score !== null && audits[id].score < 1)
    .map(({ id }) => `${id}: ${audits[id].title}`);
}
