/** What is told of a labels file between the Web Worker that reads it and the client. */

/** Where the bytes of an HDF5 file are. */
export type LabelsSource =
  /** In a file, absolute, from `offset` on; `size` bytes. */
  | { path: string; offset: number; size: number }
  /** The first bytes of a file of `size`; more are not to be had. */
  | { head: Uint8Array<ArrayBuffer>; size: number };

/** A video of the labels. */
export interface LabelsVideo {
  /** Images that lie in the labels file itself; undefined for a video that lies elsewhere. */
  embedded: number | undefined;
  /** Files as the labels name them: one, or a list of images; none for images in the labels file. */
  files: readonly string[];
}

/** What a labels file holds. */
export interface LabelsFacts {
  /** Labelled frames, those with predictions only included. */
  frames: number;
  /** Frames that a person has labelled; undefined where there are too many to count. */
  userFrames: number | undefined;
  /** Names of the skeletons' nodes. */
  nodes: readonly string[];
  /** At most `MAX_VIDEOS` of them. */
  videos: readonly LabelsVideo[];
  /** How many there are. */
  videoCount: number;
}

/** What became of reading a labels file. */
export type LabelsReport =
  | { facts: LabelsFacts }
  /** It is no labels file, or a damaged one: why. */
  | { fault: string }
  /** It goes beyond the bytes that are there. */
  | { leftOut: string };

/** Videos of one file that are told of, and image files of one video. */
export const MAX_VIDEOS = 1_000;
/** See {@link MAX_VIDEOS}. */
export const MAX_IMAGES = 100;
