/** What the server says and this page does not understand is shown as it is, and breaks nothing. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Api } from './control';
import { OFFLINE_VIN, VIN } from './vehicles';
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

/** The real feed, into which a test can say something of its own. */
async function tapFeed(): Promise<(message: string | object) => void> {
  const say: ((message: string) => void)[] = [];
  await page.routeWebSocket(/\/ws\/events/, (socket) => {
    socket.connectToServer();
    say.push((message) => socket.send(message));
  });
  return (message) => say.at(-1)?.(typeof message === 'string' ? message : JSON.stringify(message));
}

async function openWaiting(): Promise<string> {
  const api = await Api.logIn('engineer');
  const { command_id: id } = await api.send(OFFLINE_VIN, 'ReadDTC', { ecuAddress: '0x10' });
  await page.goto(`/commands/${id}`);
  await page.getByText('Live', { exact: true }).waitFor();
  return id;
}

describe('an event', () => {
  it('that is unknown, malformed or incomplete is shown, and what follows is understood', async () => {
    const say = await tapFeed();
    const id = await openWaiting();
    say('{"event": "resp');
    say({ event: 'confetti', command_id: id });
    say({ event: 'response', command_id: id, sequence_number: 'one' });
    say([1, 2]);
    await page.getByText('4 events were not understood by this page.').waitFor();
    await page.getByText('not a JSON object: {"event": "resp').waitFor();
    await page.getByText('an event named “confetti”').waitFor();
    await page.getByText('a response event that lacks what it should have').waitFor();
    say({ event: 'response', command_id: id, sequence_number: 1, response: { first: 'understood' } });
    await page.getByText('understood', { exact: true }).waitFor();
  });

  it('with a status that is unknown is shown as it is, and the command goes on', async () => {
    const say = await tapFeed();
    const id = await openWaiting();
    say({ event: 'status', command_id: id, status: 'paused', revision: 0, responses: 0 });
    await page.getByRole('button', { name: 'Cancel command' }).click();
    await page.getByText('Cancelled before it reached the vehicle.').waitFor();
  });

  it('with an answer of no known kind, even markup, is data', async () => {
    const say = await tapFeed();
    const id = await openWaiting();
    const markup = '<img src=x onerror="document.title=1"><b>bold</b>';
    [markup, { html: markup }, [markup], 17, null].forEach((response, index) =>
      say({ event: 'response', command_id: id, sequence_number: index + 1, response }),
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

describe('a vehicle event', () => {
  it('of no known connection state changes nothing', async () => {
    const say = await tapFeed();
    const id = await (await Api.logIn('engineer')).vehicleId(VIN);
    await page.goto(`/vehicles/${id}`);
    await page.getByText('Online').waitFor();
    say({ event: 'vehicle', vehicle_id: id, connection_status: 'flying' });
    say({ event: 'vehicle', vehicle_id: 7 });
    say({ event: 'vehicle', vehicle_id: id, connection_status: 'offline', at: '2026-01-31T12:00:00Z' });
    await page.getByText('Offline').waitFor();
  });
});
