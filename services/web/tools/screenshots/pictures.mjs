/** What there is a picture of: `ready` is what has to be there first, `act` what is done before the picture is taken. */
import { ENGINEER, VIN } from '../browser.mjs';

const heading = (name) => `::-p-aria([name="${name}"][role="heading"])`;
const row = 'tbody tr';
const chart = '[role=img] svg rect';

/** Sends what the pictures show. */
export async function picturesOf(api) {
  const vehicle = await vehicleOf(api, VIN);
  const { items: away } = await api.get('/vehicles?status=offline&limit=1');
  const newest = async (query) => (await api.get(`/commands?${query}&limit=1`)).items[0].command_id;
  const read = await newest(`vehicle_id=${vehicle}&command_name=ReadDTC&status=completed`);
  const refused = await newest('command_name=ReadDataByID&status=failed');
  const stream = await api.post('/commands', {
    vehicle_id: vehicle,
    command_name: 'StreamDataByID',
    command_params: { ecuAddress: '0x10', dataIds: ['0xF40C', '0xF405'], interval_ms: 100, duration_s: 20 },
  });
  return [
    // Each picture has a log-in of its own, which fills these two.
    { name: 'profile', path: '/profile', ready: row },
    { name: 'audit', path: '/audit', ready: row },
    { name: 'users', path: '/users', ready: row },
    { name: 'log-in', path: '/login', ready: heading('Log in'), visitor: null },
    { name: 'dashboard', path: '/', ready: chart },
    { name: 'dashboard-dark', path: '/', ready: chart, dark: true },
    { name: 'dashboard-tablet', path: '/', ready: chart, tablet: true },
    { name: 'vehicles', path: '/vehicles', ready: row },
    { name: 'vehicle', path: `/vehicles/${vehicle}`, ready: row },
    { name: 'vehicle-dark', path: `/vehicles/${vehicle}`, ready: row, dark: true },
    { name: 'ecus', path: `/vehicles/${vehicle}`, ready: row, act: (page) => scrollTo(page, 'ECUs') },
    { name: 'new-command', path: newCommand(away[0].vehicle_id, 'ReadDTC'), ready: '[role=alert]', visitor: ENGINEER },
    {
      name: 'confirmation',
      path: newCommand(vehicle, 'ClearDTC'),
      ready: 'button[type=submit]',
      visitor: ENGINEER,
      act: (page) => page.locator('button[type=submit]').click(),
    },
    { name: 'answers', path: `/commands/${read}`, ready: '[role=listitem]', visitor: ENGINEER },
    { name: 'answers-dark', path: `/commands/${read}`, ready: '[role=listitem]', visitor: ENGINEER, dark: true },
    { name: 'live-data', path: `/commands/${stream.command_id}`, ready: 'figure svg', dark: true },
    { name: 'refused', path: `/commands/${refused}`, ready: '[role=alert]' },
    { name: 'history', path: '/commands', ready: row },
  ];
}

async function vehicleOf(api, vin) {
  const { items } = await api.get(`/vehicles?search=${vin}`);
  return items[0].vehicle_id;
}

async function scrollTo(page, title) {
  const section = await page.waitForSelector(`section ::-p-aria([name="${title}"][role="heading"])`);
  await section.evaluate((head) => head.closest('section').scrollIntoView());
}

function newCommand(vehicle, type) {
  return `/commands/new?vehicle=${vehicle}&type=${type}&ecu=0x10`;
}
