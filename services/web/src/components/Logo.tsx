import SvgIcon from '@mui/material/SvgIcon';

export function Logo({ size = 28 }: { size?: number }) {
  return (
    <SvgIcon viewBox="0 0 32 32" sx={{ fontSize: size }} aria-hidden>
      <rect width="32" height="32" rx="7" fill="#1b5fb4" />
      <path
        d="M4 17h6l2.5-7 5 14 3-9 1.5 2H28"
        fill="none"
        stroke="#fff"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </SvgIcon>
  );
}
