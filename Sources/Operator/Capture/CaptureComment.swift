import Control
import InterCore
import Wire

extension CapturedPacket {
    /// What the worker did with the packet, what became of its flow, and in which transfer:
    /// `held; opening > held; flow 0.12.1; transfer 1495491098 p1`.
    func comment(_ core: ControlCore) -> String {
        var parts = [verdict(core)]
        guard before != nil || after != nil else { return parts[0] }
        parts.append(stateChange)
        parts.append("flow \(handle)")
        // Of a packet that leaves a hold the transfer may be over already; of others only the one under way is meant.
        let isReleased = verdict.isOwn && after != .closed
        if let transfer = core.capturedTransfer(handle, key.key, includesEnded: isReleased) {
            // Where it stands is known of now, not of the moment when the packet came.
            let ending = transfer.tookMicroseconds.map { " \(transfer.state) after \($0) us" } ?? ""
            parts.append("transfer \(transfer.transfer) \(transfer.proxy)\(ending)")
        }
        return parts.joined(separator: "; ")
    }

    private func verdict(_ core: ControlCore) -> String {
        switch verdict {
        case .toServers: "to the origin"
        case .toClients: "to the client"
        case .toProxy(let proxy): "to proxy \(core.capturedProxy(proxy))"
        case .held: "held"
        case .dropped(let reason): "dropped: \(reason)"
        case .releasedToOrigin: "released to the origin"
        case .releasedToProxy(let proxy): "released to proxy \(core.capturedProxy(proxy))"
        case .reset(let counter): "made by the director: \(counter)"
        }
    }

    private var stateChange: String {
        switch (before, after) {
        case (nil, nil): "no flow"
        case (nil, let after?): verdict.isOwn ? "\(after)" : "new, \(after)"
        case (let before?, nil): "\(before), ended"
        case (let before?, let after?): before == after ? "\(after)" : "\(before) > \(after)"
        }
    }
}
