/**
 * From the click on "Send" to the first answer on screen, beside what the API needs: the same command, by a script, with
 * a WebSocket that is open already as the page's is. They take turns, so that the machine is the same for both.
 */
import WebSocket from 'ws';
import { Api } from '../api.mjs';
import { ENGINEER, logIn, VIN, withBrowser } from '../browser.mjs';
import { median } from './median.mjs';

const TIMES = 10;
const COMMAND = { command_name: 'ReadDTC', command_params: { ecuAddress: '0x10' } };

/** Milliseconds, all of them and the medians. */
export async function measureFirstAnswer(address) {
  const api = await Api.logIn(address, ENGINEER);
  const { items } = await api.get(`/vehicles?search=${VIN}`);
  const body = { vehicle_id: items[0].vehicle_id, ...COMMAND };
  const socket = await openSocket(api);
  try {
    return await withBrowser(async (browser) => takeTurns(await openCommand(browser, api, body), api, socket, body));
  } finally {
    socket.close();
  }
}

async function takeTurns(page, api, socket, body) {
  const screen = [];
  const script = [];
  for (let turn = 0; turn < TIMES; turn += 1) {
    screen.push(await sendOnScreen(page));
    script.push(await sendByScript(api, socket, body));
  }
  const medians = { screen_ms: median(screen), api_ms: median(script) };
  return { ...medians, difference_ms: medians.screen_ms - medians.api_ms, screen, script };
}

async function openSocket(api) {
  const { ticket } = await api.post('/auth/ws-ticket', {});
  const socket = new WebSocket(`${api.address.replace(/^http/, 'ws')}/ws/events?ticket=${ticket}`);
  await new Promise((opened, failed) => socket.once('open', opened).once('error', failed));
  return socket;
}

async function sendByScript(api, socket, body) {
  const started = performance.now();
  const { command_id: id } = await api.post('/commands', body);
  socket.send(JSON.stringify({ action: 'subscribe', command_id: id, after: 0 }));
  let first;
  await new Promise((ended) => {
    socket.on('message', function onMessage(message) {
      const event = JSON.parse(String(message));
      if (event.command_id !== id) return;
      if (event.event === 'response') first ??= performance.now();
      if (event.status !== 'completed') return;
      socket.off('message', onMessage);
      ended();
    });
  });
  return first - started;
}

/** The page of a command that has ended, from where it can be sent again. */
async function openCommand(browser, api, body) {
  await logIn(browser, api.address, ENGINEER);
  const page = await browser.newPage();
  await page.setViewport({ width: 1350, height: 940 });
  const { command_id: id } = await api.post('/commands', body);
  await page.goto(`${api.address}/commands/${id}`);
  return page;
}

async function sendOnScreen(page) {
  await page.locator('::-p-aria([name="Send again…"][role="link"])').click();
  const send = await page.waitForSelector('::-p-aria([name="Send"][role="button"])');
  await page.evaluate(watchForFirstAnswer);
  await send.click();
  const milliseconds = await page.evaluate(() => window.firstAnswer);
  await page.waitForSelector('::-p-text(All answers are here)');
  return milliseconds;
}

/** Runs in the page. An answer is on screen once the frame that has it is through. */
function watchForFirstAnswer() {
  window.firstAnswer = new Promise((seen) => {
    let clicked;
    document.addEventListener('click', (event) => (clicked = event.timeStamp), { capture: true, once: true });
    const observer = new MutationObserver(() => {
      if (document.querySelector('[aria-label=Answers] [role=listitem]') === null) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => seen(performance.now() - clicked)));
    });
    observer.observe(document.body, { childList: true, subtree: true });
  });
}
