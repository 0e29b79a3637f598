"""What is known of goals that are missed; `python -m benchmarks.profiled` shows the profiles."""

LATE_LINES = (
    "the late ones come while the jobs are being submitted, or filed: the thread that submits and the"
    " background thread share one interpreter, and with other programs (see the load above) the machine"
)
STREAMS = (
    "nearly half is the work at the two ends of a job that fal_client leaves to its user (ledger, download,"
    " check, sidecar: compare × 6 s); the rest is httpx reading the streams, about 0.2 ms a line. fal_client"
    " spares itself work where it does not keep up: it got {polls} requests a job through, and alone asks for"
    " about 500"
)
INSTANT = (
    "no one thing stands out in the profile: httpx takes a third and more, the index of the folder and what"
    " is decoded, named and filed a tenth each, the rest are small steps of the job and of asyncio. A job is"
    " 5 requests where the limit does 4 (or 3), a submission shares no connection, and its row, file and"
    " sidecar are each safe on the disk before the next step"
)
SWEEP = (
    "compared to plain httpx, a job has one more connection (a submission shares none), six durable commits,"
    " a first frame decoded, a file and a sidecar synced: all of it CPU of one interpreter, with what the"
    " five requests cost themselves, so it shows most where a core is slow"
)
DOWNLOAD = "hashing and writing run parallel to the connection, and need the second core to be free"
UPLOAD = (
    "asyncio copies what the socket does not take at once, and blocks are read in threads: more CPU than"
    " plain httpx, which the second core hides where it is free"
)
COLD = (
    "imports, one after the other in one interpreter: our own modules and httpx, then the certificates of"
    " TLS; the widget is imported after the submission. All of it is CPU: a slow or busy machine shows"
)
WARM = (
    "settings, the look into folder and ledger, the commit of the row and the request, all in one interpreter"
    " and in turn between its threads; the tree of `profiled kling` has none that stands out"
)
RENDER = (
    "rendering takes {cpu:.2f} s of CPU, {drawing:.2f} s of it in the thread that draws, the rest in x264's"
    " two threads: the drawing alone is the limit of a machine on which it takes half a second"
)
GROWTH = (
    "httpcore walks all connections of a pool at each request and at each end of one (`profiled`), so that"
    " a job costs a little more among many; therefore streams have their own pool"
)
START = "the time passes in imports; the extension in the same row shows how busy the machine is"
LAG = "the ticker of the idle kernel in the same row shows how much of this is other work of the machine"
