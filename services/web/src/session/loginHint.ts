/** Whether it is worth asking for a refresh at all: a cookie that says nothing but that somebody logged in. */
const NAME = 'sovd_signed_in';
const SECONDS = 14 * 86_400;

export function hasLogin(): boolean {
  return document.cookie.split('; ').includes(`${NAME}=1`);
}

export function rememberLogin(): void {
  document.cookie = `${NAME}=1; path=/; max-age=${SECONDS}; SameSite=Strict`;
}

export function forgetLogin(): void {
  document.cookie = `${NAME}=; path=/; max-age=0; SameSite=Strict`;
}
