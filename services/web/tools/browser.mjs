/** A fresh browser at the system's door: nothing is cached, and whoever it is for is logged in. */
import puppeteer from 'puppeteer-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
export const VIN = 'WDD1234567890ABCD';
export const ENGINEER = 'engineer';
export const ADMIN = 'admin';

/** Does the work and closes the browser, whatever happens. */
export async function withBrowser(work) {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

/** Gives the browser the cookies of a log-in, which every page load takes up. */
export async function logIn(browser, address, username) {
  const answer = await fetch(`${address}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'User-Agent': await browser.userAgent() },
    body: JSON.stringify({ username, password: `${username}123`, refresh_cookie: true }),
  });
  if (!answer.ok) throw new Error(`log-in of ${username}: ${answer.status} ${await answer.text()}`);
  const { hostname } = new URL(address);
  const [name, value] = answer.headers.getSetCookie()[0].split(';')[0].split('=');
  await browser.setCookie(
    { name, value, domain: hostname, path: '/api/v1/auth', httpOnly: true, sameSite: 'Strict' },
    { name: 'sovd_signed_in', value: '1', domain: hostname, path: '/', sameSite: 'Strict' },
  );
  const { access_token: token } = await answer.json();
  return token;
}
