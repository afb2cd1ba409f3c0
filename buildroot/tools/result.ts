// What a gate of the image found: nothing (passed), findings, or in words why it could not be tried.

export type Result =
  | { readonly findings: readonly string[]; readonly words: string }
  | { readonly skipped: string };
