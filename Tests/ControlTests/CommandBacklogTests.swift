import Control
import InterCore
import Testing
import Wire

@Suite struct CommandBacklogTests {
    private let handle = FlowHandle(worker: 0, index: 1, generation: 1)

    @Test func onlyWhatHasABackstopIsDropped() {
        let key = heldRequest().request.connection.key
        let kept: [WorkerCommand] = [
            .proxy(ProxyIndex(0), NextHop(mac: .zero)), .proxyDown(ProxyIndex(0)),
            .installFlow(key, ProxyIndex(0), ticket: 1), .flowDone(handle), .resetOrigin(handle), .bypass(true),
            .recoveryEnded, .abortAllHolds,
        ]
        var backlog = CommandBacklog(limit: 2)
        backlog.append(.verdict(handle, .origin))
        backlog.append(.listFlows(FlowQuery()))
        backlog.append(.verdict(handle, .origin))
        backlog.append(.countFlows(FlowQuery()))
        for command in kept { backlog.append(command) }
        #expect(backlog.takeDropped() == 2 && backlog.takeDropped() == 0)
        var room = 3
        var pushed: [WorkerCommand] = []
        func push(_ command: WorkerCommand) -> Bool {
            guard room > 0 else { return false }
            room -= 1
            pushed.append(command)
            return true
        }
        backlog.drain(push)
        #expect(pushed.count == 3 && backlog.count == 7)
        room = 100
        backlog.drain(push)
        #expect(pushed == [.verdict(handle, .origin), .listFlows(FlowQuery())] + kept && backlog.isEmpty)
    }
}
