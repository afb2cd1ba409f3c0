// What a guest may ask of any virtqueue, each with its reason.

// Enough for a hundred milliseconds of frames; small enough that a ring's walk is nothing.
export const QUEUE_SIZE_MAX = 256;
// Descriptors of one chain, those of an indirect table included. The specification's bound is the
// queue's size; drivers that negotiated indirect descriptors exceed it on small queues, so the bound
// is that of the largest queue for all.
export const CHAIN_DESCRIPTORS_MAX = 256;
