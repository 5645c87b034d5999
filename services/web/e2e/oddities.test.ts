/** What the server says and this page does not understand is shown as it is, and breaks nothing. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Api } from './control';
import { OFFLINE_VIN, SLOW_VIN, VIN } from './vehicles';
import { loggedIn, openBrowser, show } from './visit';

let browser: Browser;
let engineer: BrowserContext;
let page: Page;
let broken: string[];

beforeAll(async () => {
  browser = await openBrowser();
  engineer = await loggedIn(browser, 'engineer');
});
afterAll(() => browser.close());
beforeEach(async () => {
  broken = [];
  page = await engineer.newPage();
  page.on('pageerror', (error) => broken.push(error.message));
});
afterEach(async () => {
  await page.close();
  expect(broken).toEqual([]);
});

interface Tap {
  say(message: string | object): void;
  /** Until the page has asked for this, and so hears what is said of it. */
  asked(of: string): Promise<void>;
}

/** The real feed, into which a test can say something of its own. */
async function tapFeed(): Promise<Tap> {
  const sockets: ((message: string) => void)[] = [];
  const requests: string[] = [];
  await page.routeWebSocket(/\/ws\/events/, (socket) => {
    const server = socket.connectToServer();
    sockets.push((message) => socket.send(message));
    socket.onMessage((message) => {
      requests.push(String(message));
      server.send(message);
    });
  });
  return {
    say: (message) => sockets.at(-1)?.(typeof message === 'string' ? message : JSON.stringify(message)),
    asked: (of) => expect.poll(() => requests.some((request) => request.includes(of))).toBe(true),
  };
}

async function openWaiting(feed: Tap): Promise<string> {
  const api = await Api.logIn('engineer');
  const { command_id: id } = await api.send(OFFLINE_VIN, 'ReadDTC', { ecuAddress: '0x10' });
  await page.goto(`/commands/${id}`);
  await feed.asked(id);
  return id;
}

describe('an event', () => {
  it('that is unknown, malformed or incomplete is shown, and what follows is understood', async () => {
    const feed = await tapFeed();
    const id = await openWaiting(feed);
    feed.say('{"event": "resp');
    feed.say({ event: 'confetti', command_id: id });
    feed.say({ event: 'response', command_id: id, sequence_number: 'one' });
    feed.say([1, 2]);
    await page.getByText('4 events were not understood by this page.').waitFor();
    await page.getByText('not a JSON object: {"event": "resp').waitFor();
    await page.getByText('an event named “confetti”').waitFor();
    await page.getByText('a response event that lacks what it should have').waitFor();
    feed.say({ event: 'response', command_id: id, sequence_number: 1, response: { first: 'understood' } });
    await page.getByText('understood', { exact: true }).waitFor();
  });

  it('with a status that is unknown is shown as it is, and the command goes on', async () => {
    const feed = await tapFeed();
    const id = await openWaiting(feed);
    feed.say({ event: 'status', command_id: id, status: 'paused', revision: 0, responses: 0 });
    await page.getByRole('button', { name: 'Cancel command' }).click();
    await page.getByText('Cancelled before it reached the vehicle.').waitFor();
  });

  it('with an answer of no known kind, even markup, is data', async () => {
    const feed = await tapFeed();
    const id = await openWaiting(feed);
    const markup = '<img src=x onerror="document.title=1"><b>bold</b>';
    [markup, { html: markup }, [markup], 17, null].forEach((response, index) =>
      feed.say({ event: 'response', command_id: id, sequence_number: index + 1, response }),
    );
    await page.getByRole('heading', { name: '5 answers' }).waitFor();
    await page.getByText(markup).first().waitFor();
    expect(await page.locator('main b, main img').count()).toBe(0);
    expect(await page.title()).toContain('ReadDTC');
  });
});

describe('a list of the API', () => {
  const COMMANDS = /\/api\/v1\/commands\?/;
  const UNDERSTOOD_NOT = 'The server sent something that this page does not understand.';

  it.each([
    ['no JSON', { body: '<html>' }, UNDERSTOOD_NOT],
    ['an object without what it should have', { json: {} }, UNDERSTOOD_NOT],
    ['a list of something else', { json: { items: [17], next_cursor: null } }, UNDERSTOOD_NOT],
    ['a list of objects without what they should have', { json: { items: [{}], next_cursor: null } }, UNDERSTOOD_NOT],
    ['nothing', { body: 'null', contentType: 'application/json' }, UNDERSTOOD_NOT],
    ['an error without problem details', { status: 502, body: 'Bad Gateway' }, 'The server answered with status 502.'],
  ])('that is %s is told of where it would be shown; the rest goes on', async (_, answer, told) => {
    await show(page, '/vehicles', 'Vehicles');
    await page.route(COMMANDS, (route) => route.fulfill(answer));
    await page.getByRole('link', { name: 'Dashboard' }).click();
    await page.getByRole('link', { name: /Vehicles online/ }).waitFor();
    await page.getByRole('alert').getByText(told).waitFor();
    await page.unroute(COMMANDS);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('region', { name: 'Table of the latest commands' }).waitFor();
  });
});

describe('an answer of the API', () => {
  it('with a status and fields that are unknown is shown as it is', async () => {
    const api = await Api.logIn('engineer');
    const { command_id: id } = await api.send(VIN, 'ReadDTC', { ecuAddress: '0x10' });
    await page.route(`**/api/v1/commands/${id}`, async (route) => {
      const answer = (await (await route.fetch()).json()) as object;
      await route.fulfill({ json: { ...answer, status: 'melted', revision: 1_000, novelty: { a: 1 } } });
    });
    await page.goto(`/commands/${id}`);
    await page.getByText('melted').first().waitFor();
    await page.getByText('2 faults in all').waitFor();
  });
});

describe('an answer of a vehicle', () => {
  it('that nobody can read is shown with the command, all of it', async () => {
    const api = await Api.logIn('engineer');
    const { command_id: id } = await api.send(SLOW_VIN, 'ReadDTCDetails', { ecuAddress: '0x10', dtcCode: 'P0420-11' });
    await page.goto(`/commands/${id}`);
    const evidence = page.getByRole('region', { name: 'Evidence' });
    await evidence.getByRole('cell', { name: 'could not be read' }).waitFor();
    await evidence.getByText('["this is no JSON object"', { exact: true }).waitFor();
  });
});

describe('a vehicle event', () => {
  it('of no known connection state changes nothing', async () => {
    const feed = await tapFeed();
    const id = await (await Api.logIn('engineer')).vehicleId(VIN);
    await page.goto(`/vehicles/${id}`);
    await page.getByText('Online').waitFor();
    await feed.asked('"vehicles":true');
    feed.say({ event: 'vehicle', vehicle_id: id, connection_status: 'flying' });
    feed.say({ event: 'vehicle', vehicle_id: 7 });
    const offline = { event: 'vehicle', vehicle_id: id, connection_status: 'offline', at: '2026-01-31T12:00:00Z' };
    await expect
      .poll(() => {
        // What the page reads anew when its feed opens tells the truth again; so it is said until it is seen.
        feed.say(offline);
        return page.getByText('Offline').isVisible();
      })
      .toBe(true);
  });
});
