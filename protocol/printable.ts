/** Text from outside, safe for a log line or a terminal: control and invisible characters become U+FFFD. */
export function printable(text: string, maxLength = 300): string {
  const cleaned = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
  return cleaned.length > maxLength ? `${cleaned.slice(0, maxLength).toWellFormed()}…` : cleaned;
}

/** Output of a job as one line: without line ends and without what would drive the terminal; tabs stay. */
export function printableOutput(text: string): string {
  const ESCAPE = "\u001b";
  const withoutColours = text.split(ESCAPE).map((part, index) =>
    index === 0 ? part : part.replace(/^\[[0-9;?]*[A-Za-z]/, "")
  );
  return withoutColours.join("").replace(/[^\P{Cc}\t]/gu, "");
}
