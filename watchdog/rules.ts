// The rules the safety proof rests on, each by name and in a sentence. Production always runs with
// all of them; tests switch single ones off and demand that the exploration finds the disaster.

export const RULES = {
  'promote-only-in-step': 'a follower that is not in step never promotes',
  'promote-only-when-all-silent': 'a backup believes in death only when every path is silent',
  'promote-needs-witness': 'a backup that hears nobody at all is itself the one cut off',
  'solo-needs-renunciation': 'a primary with a living peer waits for its word before going alone',
  'alone-needs-life':
    'a primary whose log link died asks to lead alone when it has lived on for longer than a death takes',
  'leave-without-log':
    'a primary that has lost log link and plant offers its reign to a backup that has the plant',
  'solo-needs-witness': 'a primary that hears nobody at all holds its outputs',
  'sleeper-doubts': 'who slept doubts until the peer has answered it',
  'long-sleeper-misses': 'who slept for longer than its buffers hold has missed what was said',
  'isolated-doubts': 'who was cut off acts on no silence until the peer has answered it',
  'off-plant-waits':
    'a backup that has said it is off the plant acts on no silence until the peer has answered it since',
  'awake-for-the-window': 'silence counts from the moment of waking',
  'persist-before-open': 'the gate opens when the disk says `sole`, not before',
  'persist-before-grant': 'the disk says `shared` before the peer may promote',
  'gate-shut-before-grant': 'the gate asks for acknowledgements before the peer may promote',
  'grant-needs-mark': 'in step only when the log up to the grant is here',
  'grant-bound-to-session': 'a grant of an earlier session is worth nothing',
  'dead-peer-must-be-shared': 'the machine of a dead primary is ours only if it never went solo',
  'shared-never-leads-alone': 'a board whose peer may have gone on waits for that peer',
  'behind-never-leads': 'a board that knows of newer state waits for it',
  'cold-needs-echo': 'a cold board believes only words spoken after its start',
  'start-exceeds-echo':
    'who is held for an earlier start of itself takes a number above the later one',
  'newest-statement-only': 'a late statement does not replace a newer one',
  'higher-reign-fences': 'a newer reign ends mine',
  'last-word-can-be-refuted': 'who says something new after its last word is alive',
  'doubted-word-needs-silence': 'who slept acts on a last word only when every path is silent too',
  'solo-needs-quiet': 'a primary does not take for dead a backup it has just heard',
  'limp-rests': 'who has just been handed over to does not hand back for its limp',
  'leave-needs-mark': 'a hand-over is taken only with the whole log',
  'offer-must-be-fresh':
    'after a sleep, an offer to hand over counts only if made since, taken or not',
} as const;

export type RuleName = keyof typeof RULES;

/** The rules that are switched off: none, outside of tests. */
export type RulesOff = ReadonlySet<RuleName>;
export const ALL_RULES: RulesOff = new Set();
