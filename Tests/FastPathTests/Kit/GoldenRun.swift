import InterCore
import Wire

/// Plays two captures and a script through a lab, in the order of time, and keeps what leaves by either side.
final class GoldenRun {
    private let lab: Lab
    private let start: UInt64
    private var handles: [UInt16: FlowHandle] = [:]
    private(set) var toClients = CaptureFile()
    private(set) var toServers = CaptureFile()
    /// What the worker told, in the script's words.
    private(set) var heard: [String] = []

    init(_ lab: Lab) {
        self.lab = lab
        start = lab.now
    }

    private enum Step {
        case frame([UInt8], fromClient: Bool)
        case tell(GoldenScript.Command)
        case wait
    }

    func play(fromClients: CaptureFile, fromServers: CaptureFile, script: GoldenScript) {
        var steps: [(time: UInt64, step: Step)] = []
        steps += fromClients.frames.map { ($0.time, .frame($0.bytes, fromClient: true)) }
        steps += fromServers.frames.map { ($0.time, .frame($0.bytes, fromClient: false)) }
        for (time, line) in script.lines {
            switch line {
            case .tell(let command): steps.append((time, .tell(command)))
            case .hear, .wait: steps.append((time, .wait))
            }
        }
        // Of things that happen at once, the client's come first, then the servers', then the control core's.
        let inOrder = steps.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
        for (time, step) in inOrder.map(\.element) {
            advance(to: time)
            carryOut(step)
        }
    }

    /// Turns once in each millisecond on the way.
    private func advance(to time: UInt64) {
        while lab.now < start + time {
            lab.now = min((lab.now - start) / 1_000 * 1_000 + 1_000, time) + start
            turn()
        }
    }

    private func carryOut(_ step: Step) {
        switch step {
        case .frame(let bytes, let fromClient): lab.put(bytes, fromClient: fromClient)
        case .tell(.verdict(let port, let proxy)):
            let verdict = proxy.map { Verdict.proxy($0, resetOrigin: true) } ?? .origin
            if let handle = handles[port] { lab.tell(.verdict(handle, verdict)) }
        case .tell(.done(let port)): if let handle = handles[port] { lab.tell(.flowDone(handle)) }
        case .wait: break
        }
        turn()
    }

    private func turn() {
        lab.turn()
        let time = lab.now - start
        toClients.frames += lab.toClients.map { CapturedFrame(time: time, bytes: $0) }
        toServers.frames += lab.toServers.map { CapturedFrame(time: time, bytes: $0) }
        lab.toClients = []
        lab.toServers = []
        for event in lab.takeEvents() { hear(event, time) }
    }

    private func hear(_ event: WorkerEvent, _ time: UInt64) {
        var words = event.name.split(separator: " ").map(String.init)
        switch event {
        case .requestHeld(let held), .requestObserved(let held):
            handles[held.connection.key.clientPort] = held.handle
            words.insert("\(held.connection.key.clientPort)", at: 1)
        case .committed(let handle), .aborted(let handle, _), .moved(let handle), .moveRefused(let handle),
            .flowEnded(let handle, _), .requestRepeated(let handle), .handOffOver(let handle):
            words.insert(handles.first { $0.value == handle }.map { "\($0.key)" } ?? "?", at: 1)
        case .datagramHeld, .datagramObserved, .identifierLearnt: break
        case .flowInstalled, .flowRefused, .proxyUnused, .pathNarrowed, .flowWanted, .rulesInForce,
            .virtualServersInForce, .flow,
            .flowCount,
            .endOfFlows:
            break
        }
        heard.append("\(time): " + words.joined(separator: " "))
    }
}
