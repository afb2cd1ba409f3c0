// What Home Assistant needs to find a board (its MQTT discovery, device payload): sensors over the status
// topic. A value it was told once stays until something says otherwise, so each entity is available only
// while the topic says that the agent is there and hears its board, and no longer than EXPIRES after the last
// word: a broker that lost the last will must not show what was. Pure.
import { deviceId, type NodeIds } from './ids.ts';

export interface Introduction {
  readonly topic: string;
  readonly payload: object;
}

export interface IntroduceOptions extends NodeIds {
  readonly statusTopic: string;
  readonly firmware: string;
  /** The topic is repeated at least this often. */
  readonly repeatMs: number;
}

/** This many words that should have come and did not. */
const MISSED_MAX = 3;

export function introduce(options: IntroduceOptions): Introduction {
  const { node, statusTopic, firmware, repeatMs } = options;
  const id = deviceId(options);
  const entity = (key: string, name: string, platform: object) => [
    key,
    {
      ...platform,
      ...{ unique_id: `${id}_${key}`, name },
      value_template: `{{ value_json.${key} }}`,
      expire_after: Math.ceil((MISSED_MAX * repeatMs) / 1_000),
    },
  ];
  const sensor = { p: 'sensor' };
  const binary = { p: 'binary_sensor', payload_on: 'True', payload_off: 'False' };
  return {
    topic: `homeassistant/device/${id}/config`,
    payload: {
      dev: { ids: [id], name: `Twinstep ${node}`, sw: firmware },
      o: { name: 'twinstep', sw: firmware },
      cmps: Object.fromEntries([
        entity('role', 'Role', sensor),
        entity('pairState', 'Pair state', sensor),
        entity('redundant', 'Redundant', binary),
        entity('healthy', 'Healthy', binary),
        entity('safeToRemove', 'Safe to remove', binary),
      ]),
      state_topic: statusTopic,
      // Of one topic there can be one entry: Home Assistant keeps them by topic.
      availability: [
        {
          topic: statusTopic,
          value_template:
            "{{ 'online' if value_json.online and value_json.reachable else 'offline' }}",
        },
      ],
      availability_mode: 'all',
      qos: 1,
    },
  };
}
