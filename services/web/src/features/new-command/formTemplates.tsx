/** How the form library's parts look here. */
import RemoveIcon from '@mui/icons-material/DeleteOutlined';
import Box from '@mui/material/Box';
import IconButton from '@mui/material/IconButton';
import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import type { ArrayFieldItemTemplateProps, DescriptionFieldProps, TitleFieldProps } from '@rjsf/utils';

/** The library would make a heading of it. */
function ParameterDescription({ id, description }: DescriptionFieldProps) {
  if (description === '') return null;
  return (
    <Typography id={id} variant="caption" color="textSecondary" component="div" sx={{ px: 1.75, pt: 0.5 }}>
      {description}
    </Typography>
  );
}

function GroupTitle({ id, title }: TitleFieldProps) {
  return (
    <Typography id={id} variant="h3" component="h2" sx={{ mb: 1 }}>
      {title}
    </Typography>
  );
}

function ListItem({ children, index, buttonsProps }: ArrayFieldItemTemplateProps) {
  return (
    <Stack direction="row" sx={{ gap: 1, alignItems: 'flex-start' }}>
      <Box sx={{ flexGrow: 1 }}>{children}</Box>
      {buttonsProps.hasRemove && (
        <IconButton aria-label={`Remove number ${index + 1}`} onClick={buttonsProps.onRemoveItem}>
          <RemoveIcon />
        </IconButton>
      )}
    </Stack>
  );
}

export const FORM_TEMPLATES = {
  DescriptionFieldTemplate: ParameterDescription,
  TitleFieldTemplate: GroupTitle,
  ArrayFieldItemTemplate: ListItem,
};
