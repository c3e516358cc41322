import Control
import FastPath
import Logging

/// One side's link follows the other's (rule 14), some ten times a second.
extension ControlLoop {
    mutating func mirrorLinks(now: UInt64) {
        guard now >= nextLookAtLinks else { return }
        nextLookAtLinks = now + PortLinks.periodMicroseconds
        // Once a second is enough for people.
        if now % 1_000_000 < PortLinks.periodMicroseconds { Telemetry.update(core.proxyStatus()) }
        for index in portLinks.indices {
            for notice in portLinks[index].look(now: now) { record(notice) }
        }
    }

    private func record(_ notice: PortLinks.Notice) {
        switch notice {
        case .link(let side, let isUp):
            logger.warning("link \(isUp ? "up" : "down")", metadata: ["side": "\(side)"])
        case .mirrored(let side, let isUp):
            logger.warning(
                "link set \(isUp ? "up" : "down") as the other side's is", metadata: ["side": "\(side)"])
        case .unsupported(let port):
            logger.warning("this port's driver cannot set its link", metadata: ["port": "\(port)"])
        }
    }
}
