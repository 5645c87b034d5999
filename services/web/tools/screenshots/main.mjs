/** `node screenshots/main.mjs ADDRESS DIRECTORY`: a picture of each page of the web interface at ADDRESS. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { Api } from '../api.mjs';
import { ADMIN, logIn, withBrowser } from '../browser.mjs';
import { picturesOf } from './pictures.mjs';

const DESKTOP = { width: 1280, height: 800, deviceScaleFactor: 1.5 };
const TABLET = { width: 820, height: 1180, deviceScaleFactor: 1 };
const COLOURS = 80;

const [address, directory] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const api = await Api.logIn(address, ADMIN);
for (const picture of await picturesOf(api)) {
  const { size } = await take(picture);
  console.log(`${(size / 1024).toFixed(0).padStart(4)} KB  ${picture.name}.png`);
}

function take({ name, path, ready, visitor = ADMIN, dark = false, tablet = false, act }) {
  return withBrowser(async (browser) => {
    if (visitor !== null) await logIn(browser, address, visitor);
    const page = await browser.newPage();
    await page.setViewport(tablet ? TABLET : DESKTOP);
    await page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
      { name: 'prefers-reduced-motion', value: 'reduce' },
    ]);
    await page.goto(address + path);
    await page.waitForSelector(ready);
    await act?.(page);
    await page.waitForNetworkIdle({ idleTime: 300, concurrency: 1 });
    const shot = await page.screenshot();
    return sharp(shot)
      .png({ palette: true, colours: COLOURS, effort: 10 })
      .toFile(join(directory, `${name}.png`));
  });
}
