package import CRTP
internal import Logging

extension ControlLoop {
    /// Sessions go on with the keys that they were made with; what directors begin from now on needs one of these.
    func use(_ ring: KeyRing, _ now: UInt64) {
        if let id = ring.contradiction(to: keys) {
            return logger.error(
                "keys refused: an id names one key for ever, give the new key an id of its own",
                metadata: ["key": "\(id)"]
            )
        }
        keys = ring
        responder.replaceKeys(ring, now: now)
        logger.notice("keys changed", metadata: ["held": "\(ring.held.map(String.init).joined(separator: ","))"])
        for (director, key) in responder.keysInUse where ring.keys[key] == nil {
            logger.warning(
                "a director's session has a key that is not held any more: it cannot come back with it",
                metadata: ["director": "\(director)", "key": "\(key)"])
        }
    }
}
