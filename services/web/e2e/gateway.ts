/** A whole system in one process, with its own data, as `sovd up` runs it: what a browser test talks to. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const PYTHON = process.env.PYTHON ?? join(REPOSITORY, '.venv/bin/python');
const START_MS = 60_000;

export class Gateway {
  readonly address: string;
  private readonly port: number;
  private readonly data = mkdtempSync(join(tmpdir(), 'sovd-e2e-'));
  private process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
    this.address = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<Gateway> {
    const gateway = new Gateway(await freePort());
    await gateway.begin();
    return gateway;
  }

  /** Also after `kill`: with the data it had. */
  async begin(): Promise<void> {
    const args = ['-m', 'sovd_cli', 'up', '--port', String(this.port), '--data-dir', this.data];
    const env = { ...process.env, PYTHONPATH: join(REPOSITORY, 'services') };
    this.process = spawn(PYTHON, args, { env, cwd: REPOSITORY, stdio: 'ignore' });
    const deadline = Date.now() + START_MS;
    while (!(await this.isReady())) {
      if (Date.now() > deadline || this.process.exitCode !== null) throw new Error('the system did not start');
      await new Promise((wait) => setTimeout(wait, 200));
    }
  }

  kill(): Promise<void> {
    return this.end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
    rmSync(this.data, { recursive: true, force: true });
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const running = this.process;
    if (running?.exitCode !== null) return;
    const ended = new Promise((resolveEnd) => running.once('exit', resolveEnd));
    running.kill(signal);
    await ended;
  }

  private async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.address}/health/ready`)).ok;
    } catch {
      return false;
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address !== null ? found(address.port) : failed(new Error())));
    });
  });
}
