/** The keyboard's place on a page: where it is, and whether one sees it. */
import type { Locator, Page } from 'playwright-core';
import { expect } from 'vitest';

interface FocusWatch {
  /** Notes how everything looks that the keyboard can reach and that has no focus. */
  remember: () => void;
  /** What has the focus, in words and with a number of its own; empty for the page as a whole. */
  place: () => string;
  /** Whether it looks unlike it did without. */
  shows: () => boolean;
  /** How many places the keyboard should reach. */
  reachable: () => number;
}

declare global {
  interface Window {
    focusWatch: FocusWatch;
  }
}

/** To be called before the page is opened. */
export async function watchFocus(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const REACHABLE = 'a[href], button, input, select, textarea, [tabindex]';
    const STYLES = ['outline', 'boxShadow', 'backgroundColor', 'border', 'opacity', 'top', 'textDecoration'] as const;
    const looks = new WeakMap<Element, string>();
    const numbers = new WeakMap<Element, number>();
    let lastNumber = 0;
    const styleOf = (element: Element) => {
      const style = getComputedStyle(element);
      return STYLES.map((name) => style[name]).join();
    };
    // A field shows it at the frame beside it, a button by something that it holds.
    const lookOf = (element: Element) => {
      const around = [element, ...element.children, ...(element.parentElement?.children ?? [])];
      const button = element.closest('.MuiButtonBase-root') ?? element;
      return [...around.map(styleOf), button.querySelectorAll('*').length].join('|');
    };
    const all = () =>
      [...document.querySelectorAll<HTMLElement>(REACHABLE)].filter(
        (element) => element.tabIndex >= 0 && !element.matches(':disabled') && element.checkVisibility(),
      );
    window.focusWatch = {
      remember: () => {
        for (const element of all()) if (element !== document.activeElement) looks.set(element, lookOf(element));
      },
      place: () => {
        const element = document.activeElement;
        if (element === null || element === document.body) return '';
        if (!numbers.has(element)) numbers.set(element, (lastNumber += 1));
        const name = element.getAttribute('aria-label') ?? element.textContent;
        return `${numbers.get(element)} ${element.tagName.toLowerCase()} ${name.slice(0, 60)}`;
      },
      shows: () => {
        const element = document.activeElement ?? document.body;
        const box = element.getBoundingClientRect();
        const inView = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
        return inView && lookOf(element) !== looks.get(element);
      },
      reachable: () => all().length,
    };
  });
}

/** One step of the keyboard; where it leads has to be seen. */
export async function step(page: Page, key = 'Tab'): Promise<string> {
  await page.evaluate(() => window.focusWatch.remember());
  await page.keyboard.press(key);
  const place = await page.evaluate(() => window.focusWatch.place());
  if (place !== '') {
    await expect.poll(() => shows(page), { message: `no focus is seen at ${place}` }).toBe(true);
  }
  return place;
}

const shows = (page: Page) => page.evaluate(() => window.focusWatch.shows());

/** With the tab key alone to something on the page, which has to be on the way. */
export async function tabTo(page: Page, target: Locator, key = 'Tab'): Promise<void> {
  for (let steps = 0; steps < 80; steps += 1) {
    await step(page, key);
    if (await hasFocus(target)) return;
  }
  throw new Error(`the keyboard does not reach ${target.toString()}`);
}

export function hasFocus(target: Locator): Promise<boolean> {
  return target.evaluate((element) => element === document.activeElement);
}

/** On through all of the page until it begins anew: each place, which has to be seen. */
export async function walk(page: Page): Promise<Set<string>> {
  const places = new Set<string>();
  for (let steps = 0; steps < 300; steps += 1) {
    const place = await step(page);
    if (places.has(place) && place === [...places][0]) return places;
    // After the last place comes the browser's own.
    if (place !== '') places.add(place);
  }
  throw new Error('the keyboard does not come round');
}
