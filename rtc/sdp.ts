/** A session description and the candidates taken out of it. */
export interface SplitDescription {
  sdp: string;
  candidates: { candidate: string; mid: string }[];
}

/**
 * Takes the candidates out of a complete SDP (RFC 8839), so that they can be added later. `a=end-of-candidates`
 * goes as well.
 */
export function splitCandidates(sdp: string): SplitDescription {
  const kept: string[] = [];
  const candidates: { candidate: string; mid: string }[] = [];
  const mid = /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? "0";
  for (const line of sdp.split(/\r?\n/)) {
    if (line.startsWith("a=candidate:")) candidates.push({ candidate: line.slice("a=".length), mid });
    else if (!line.startsWith("a=end-of-candidates")) kept.push(line);
  }
  return { sdp: kept.join("\r\n"), candidates };
}
