import { describe, expect, it } from 'vitest';
import { apiAddress, apiAt } from './address';

const PAGE = 'https://app.example.com';

describe('the address of the API', () => {
  it.each([undefined, ''])('is that of the page when none was built in (%j)', (builtIn) => {
    const api = apiAddress(builtIn, PAGE);
    expect([api.base, api.credentials]).toEqual([PAGE, 'same-origin']);
    expect(api.of('/health/live').href).toBe(`${PAGE}/health/live`);
    expect(api.ofSocket('/ws/events').href).toBe('wss://app.example.com/ws/events');
  });

  it.each(['http://api.example.com:8000', 'http://api.example.com:8000/'])('is what was built in: %s', (builtIn) => {
    const api = apiAddress(builtIn, PAGE);
    expect([api.base, api.credentials]).toEqual(['http://api.example.com:8000', 'include']);
    expect(api.of('/api/v1/vehicles').href).toBe('http://api.example.com:8000/api/v1/vehicles');
    expect(api.ofSocket('/ws/events').href).toBe('ws://api.example.com:8000/ws/events');
  });

  it('may have a path', () => {
    const api = apiAddress('https://example.com/sovd/', PAGE);
    expect(api.of('/api/v1/vehicles').href).toBe('https://example.com/sovd/api/v1/vehicles');
    expect(api.ofSocket('/ws/events').href).toBe('wss://example.com/sovd/ws/events');
  });

  it('is the page in a build without one', () => {
    expect(apiAt.base).toBe(window.location.origin);
  });
});
