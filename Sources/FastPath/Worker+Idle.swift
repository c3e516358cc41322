import CDPDKShim
import InterCore

/// Turns without end, and what to do when nothing comes.
extension Worker {
    /// Polls until `stop` is not 0 any more. `adaptive`: after some thousand empty turns the worker waits for its ports'
    /// descriptors and its bell, at most a fraction of the time after which it would count as dead.
    public mutating func run(until stop: UnsafePointer<Int32>, idle: IdlePolicy) {
        var empty = 0
        while shim_load_flag(stop) == 0 {
            if poll(now: shim_tsc()) > 0 || idle == .spin {
                empty = 0
                continue
            }
            empty &+= 1
            if empty < 64 { continue }
            sleep()
        }
    }

    private mutating func sleep() {
        let bell = links.doorbells[configuration.workerIndex]
        bell.prepareToSleep()
        clientSide.queue.arm()
        serverSide.queue.arm()
        defer {
            clientSide.queue.disarm()
            serverSide.queue.disarm()
            bell.awake()
        }
        // What came before the interrupts were armed.
        guard poll(now: shim_tsc()) == 0, clientSide.count == 0, serverSide.count == 0 else { return }
        let holds = collecting.count &+ asked.count
        let nap: UInt64 = !links.canBeWoken ? 50 : holds > 0 || walk.isUnderWay ? 500 : 10_000
        shim_wait(links.waitable.baseAddress!, Int32(links.waitable.count), nap)
    }
}
